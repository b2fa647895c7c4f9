"""Pages of a running role for people with a browser, in its process; it knows no protocol.

A role's record says which pages there are (`agents.core.pages`). ``server`` listens and ends, ``connections`` keeps those bounded that
come, ``answers`` finds the page and its form, ``rendering`` fills in templates, ``live`` sends what has changed to who looks on.

Everything here is read only, and what is shown is for everybody: nothing is asked for, no cookie is set, nothing changes by a request.
A page is complete without a script; with one it follows what happens.
"""
