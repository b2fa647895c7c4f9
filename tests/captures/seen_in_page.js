/* What a person sees of the page in the browser: sizes, colours and places, as figures for the test. */

function colour(text) {
  const found = text.match(/rgba?\(([^)]*)\)/);
  const [red, green, blue, alpha = 1] = found[1].split(",").map(Number);
  return { red, green, blue, alpha };
}

function luminance({ red, green, blue }) {
  /* WCAG 2.2, relative luminance */
  const [r, g, b] = [red, green, blue].map((value) => {
    const share = value / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function contrast(one, other) {
  const [light, dark] = [luminance(one), luminance(other)].sort((a, b) => b - a);
  return (light + 0.05) / (dark + 0.05);
}

/* What is behind a text: in a drawing the shape it is grouped with, else the nearest ancestor that has a ground. */
function ground(element) {
  for (let at = element; at; at = at.parentElement) {
    if (at instanceof SVGElement) {
      const shape = at.tagName === "g" || at.tagName === "a" ? at.querySelector(":scope > rect") : null;
      const fill = shape && colour(getComputedStyle(shape).fill);
      if (fill && fill.alpha === 1) return fill;
    } else {
      const back = colour(getComputedStyle(at).backgroundColor);
      if (back.alpha === 1) return back;
    }
  }
  return { red: 255, green: 255, blue: 255, alpha: 1 };
}

function visible(element) {
  const style = getComputedStyle(element);
  const box = element.getBoundingClientRect();
  return style.visibility === "visible" && box.width > 1 && box.height > 1 && !element.closest(".skip, .hidden, title");
}

function texts() {
  const found = [];
  for (const element of document.body.querySelectorAll("*")) {
    const own = [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.textContent.trim());
    if (!own || !visible(element) || ["SCRIPT", "STYLE"].includes(element.tagName)) continue;
    const style = getComputedStyle(element);
    const drawn = element instanceof SVGElement;
    found.push({
      text: element.textContent.trim().slice(0, 40),
      drawn,
      size: parseFloat(style.fontSize),
      contrast: contrast(colour(drawn ? style.fill : style.color), ground(element)),
    });
  }
  return found;
}

function boxOf(element) {
  const { left, top, right, bottom } = element.getBoundingClientRect();
  return { left, top, right, bottom, text: element.textContent.trim() };
}

function overlapping(boxes) {
  const found = [];
  boxes.forEach((one, number) => {
    for (const other of boxes.slice(number + 1)) {
      if (one.left < other.right - 1 && other.left < one.right - 1 && one.top < other.bottom - 1 && other.top < one.bottom - 1) {
        found.push([one.text, other.text]);
      }
    }
  });
  return found;
}

/* Names of drawn things that meet, or that are wider than what they are written on. */
function collisions() {
  const found = [];
  for (const drawing of document.querySelectorAll(".topology")) {
    found.push(...overlapping([...drawing.querySelectorAll("text")].filter(visible).map(boxOf)));
    for (const node of [...drawing.querySelectorAll(".node")].filter(visible)) {
      const name = boxOf(node.querySelector("text"));
      const shape = boxOf(node.querySelector("rect"));
      if (name.left < shape.left || name.right > shape.right) found.push([name.text, "its box"]);
    }
  }
  for (const group of [".heads text", ".rows .time", ".rows .event .label", ".packets .moment", ".packets g.tick text", ".packets .name"]) {
    for (const chapter of document.querySelectorAll(".chapter")) {
      found.push(...overlapping([...chapter.querySelectorAll(group)].filter(visible).map(boxOf)));
    }
  }
  return found;
}

return {
  width: document.documentElement.scrollWidth,
  window: innerWidth,
  texts: texts(),
  collisions: collisions(),
  chapters: [...document.querySelectorAll(".chapter")].filter(visible).map((chapter) => chapter.id),
  hacked: "hacked" in window || document.title === "hacked",
};
