"""The network of a lab: its model as data, and nodes, links and addresses made from it."""
