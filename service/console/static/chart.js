// The timeline: a line that follows pointer, finger or arrow keys, and says what was there. Without it each stretch has
// its values as a title.
"use strict";

const SVG = "http://www.w3.org/2000/svg";
const HINT = "Point at the chart, or use the arrow keys on it, to read its values.";
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });

function stretchesOf(svg) {
  return [...svg.querySelectorAll("rect.dot")].map((rect) => ({
    first: timeAt(svg, rect.x.baseVal.value),
    last: timeAt(svg, rect.x.baseVal.value + rect.width.baseVal.value),
    text: rect.querySelector("title").textContent,
    over: rect.classList.contains("over"),
    events: rect.classList.contains("events"),
  }));
}

function number(svg, name) {
  return Number(svg.dataset[name]);
}

function timeAt(svg, x) {
  const share = (x - number(svg, "left")) / (number(svg, "right") - number(svg, "left"));
  return number(svg, "first") + share * (number(svg, "last") - number(svg, "first"));
}

function placeOf(svg, time) {
  const share = (time - number(svg, "first")) / (number(svg, "last") - number(svg, "first"));
  return number(svg, "left") + share * (number(svg, "right") - number(svg, "left"));
}

function nearest(stretches, time, wide) {
  let best = null;
  let least = Infinity;
  for (const one of stretches) {
    const away = time < one.first ? one.first - time : time > one.last ? time - one.last : 0;
    if (away < least) [best, least] = [one, away];
  }
  return least <= wide ? best : null;
}

function said(stretch) {
  const at = stretch.text.indexOf(" UTC: ");
  return at < 0 ? stretch.text : stretch.text.slice(at + 6);
}

function power(parent, text) {
  const found = /^(.*?)10\^(-?[\d.]+|∞)(.*)$/.exec(text);
  if (!found) {
    parent.append(text);
    return;
  }
  const raised = document.createElement("sup");
  raised.textContent = found[2];
  parent.append(`${found[1]}10`, raised, found[3]);
}

function follow(plot) {
  const wide = plot.querySelector("svg.wide");
  const all = stretchesOf(wide);
  const evidence = all.filter((one) => !one.events).sort((a, b) => a.first - b.first);
  const events = all.filter((one) => one.events).sort((a, b) => a.first - b.first);
  if (!evidence.length) return;
  const note = document.createElement("p");
  note.className = "readout";
  note.setAttribute("aria-live", "polite");
  note.textContent = HINT;
  plot.append(note);
  let chosen = evidence.length - 1;

  function show(svg, time) {
    const slack = (number(svg, "last") - number(svg, "first")) / 100;
    const here = nearest(evidence, time, slack);
    const came = nearest(events, time, slack);
    const at = new Date(time);
    note.replaceChildren();
    const when = document.createElement("b");
    const utc = at.toISOString();
    const local = at.getTimezoneOffset() === 0 ? "" : ` (here ${clock.format(at)})`;
    when.textContent = `${utc.slice(5, 10)} ${utc.slice(11, 19)} UTC${local}`;
    note.append(when, " ");
    power(note, here ? said(here) + (here.over ? ", above the budget" : "") : "no evidence measured");
    if (came) note.append(`; ${said(came)}`);
    note.classList.toggle("over", Boolean(here && here.over));
    note.classList.add("on");
    let line = svg.querySelector(".cross");
    if (!line) {
      line = document.createElementNS(SVG, "line");
      line.setAttribute("class", "cross");
      line.setAttribute("y1", svg.dataset.top);
      line.setAttribute("y2", svg.dataset.bottom);
      svg.append(line);
    }
    const x = placeOf(svg, time);
    line.setAttribute("x1", x);
    line.setAttribute("x2", x);
  }

  function hide(svg) {
    note.textContent = HINT;
    note.className = "readout";
    const line = svg.querySelector(".cross");
    if (line) line.remove();
  }

  for (const svg of plot.querySelectorAll("svg.chart")) {
    svg.setAttribute("tabindex", "0");
    svg.addEventListener("pointermove", (event) => {
      const box = svg.getBoundingClientRect();
      const x = ((event.clientX - box.left) / box.width) * svg.viewBox.baseVal.width;
      if (x < number(svg, "left") || x > number(svg, "right")) hide(svg);
      else show(svg, timeAt(svg, x));
    });
    svg.addEventListener("pointerleave", () => document.activeElement !== svg && hide(svg));
    svg.addEventListener("blur", () => hide(svg));
    svg.addEventListener("keydown", (event) => {
      const steps = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -evidence.length, End: evidence.length };
      if (!(event.key in steps)) return;
      event.preventDefault();
      chosen = Math.min(evidence.length - 1, Math.max(0, chosen + steps[event.key]));
      show(svg, (evidence[chosen].first + evidence[chosen].last) / 2);
    });
  }
}

function followAll(root) {
  for (const plot of root.querySelectorAll("[data-chart]")) follow(plot);
}

followAll(document);
document.addEventListener("replaced", (event) => followAll(event.target));
