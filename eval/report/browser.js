// The item browser. Text reaches the page through textContent only, so nothing a model wrote is read as HTML.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const PAGE = 10;
  const right = (a) => a.correct >= 0.5;
  const others = data.models.filter((m) => m !== data.baseline);
  const compared = {
    "became wrong": (a, b) => !right(a) && right(b),
    "became wrong and shorter": (a, b) => !right(a) && right(b) && a.tokens < b.tokens,
    "became right": (a, b) => right(a) && !right(b),
    "became right and shorter": (a, b) => right(a) && !right(b) && a.tokens < b.tokens,
    "both right": (a, b) => right(a) && right(b),
    "both wrong": (a, b) => !right(a) && !right(b),
    "longer than the baseline's": (a, b) => a.tokens > b.tokens,
  };
  const judged = { "judge disagrees": (a) => a.judge && a.judge !== (right(a) ? "right" : "wrong") };
  const filters = {
    "all": () => true,
    "right": right,
    "wrong": (a) => !right(a),
    ...(others.length ? compared : {}),
    ...(data.judged ? judged : {}),
    "unparsed": (a) => a.status === "unparsed",
    "truncated": (a) => a.truncated,
    "error": (a) => a.error !== null,
  };

  const make = (tag, text, className) => {
    const element = document.createElement(tag);
    if (text !== undefined) element.textContent = text;
    if (className) element.className = className;
    return element;
  };

  const controls = document.getElementById("controls");
  const select = (label, options, chosen) => {
    const wrapper = make("label", label), box = make("select");
    for (const option of options) {
      const entry = make("option", option);
      entry.value = option;
      entry.selected = option === chosen;
      box.append(entry);
    }
    wrapper.append(box);
    controls.append(wrapper);
    box.addEventListener("change", () => show(PAGE));
    return box;
  };

  const benchmark = select("benchmark", Object.keys(data.benchmarks));
  const model = select("model", others.length ? others : data.models, others[others.length - 1]);
  const filter = select("show", Object.keys(filters), "all");
  const count = document.getElementById("count"), list = document.getElementById("items");
  const more = document.getElementById("more");
  let shown = PAGE;

  const answer = (name, a) => {
    const box = make("div");
    box.append(make("strong", name + " "));
    const word = a.error !== null ? "error" : right(a) ? "right" : a.status === "unparsed" ? "unparsed" : "wrong";
    box.append(make("span", word, "badge" + (word === "right" ? " good" : word === "wrong" ? "" : " neutral")));
    box.append(make("span", ` ${a.tokens} tokens${a.truncated ? ", truncated" : ""}`, "soft"));
    if (a.judge) box.append(make("span", ` · judge: ${a.judge}`, "soft"));
    if (a.prediction) box.append(make("span", ` · answer: ${a.prediction}`, "soft"));
    box.append(make("pre", a.error !== null ? a.error : a.text));
    return box;
  };

  const show = (limit) => {
    shown = limit;
    const test = filters[filter.value];
    const found = data.benchmarks[benchmark.value].filter((item) =>
      test(item.answers[model.value], item.answers[data.baseline]));
    list.replaceChildren();
    for (const item of found.slice(0, limit)) {
      const box = make("div", undefined, "item");
      box.append(make("p", `row ${item.row}`, "soft"));
      for (const source of item.images) {
        const image = make("img");
        image.src = source;
        image.alt = `picture of row ${item.row}`;
        image.loading = "lazy";
        box.append(image);
      }
      if (item.frames.length) {
        const strip = make("div", undefined, "strip");
        for (const frame of item.frames) {
          const cell = make("figure"), image = make("img");
          image.src = frame.source;
          image.alt = `video of row ${item.row} at ${frame.time} s`;
          image.loading = "lazy";
          cell.append(image, make("span", `${frame.time} s`, "soft"));
          strip.append(cell);
        }
        box.append(strip);
      }
      box.append(make("p", item.question));
      box.append(make("p", `right answer: ${item.truth}`));
      const answers = make("div", undefined, "answers");
      const names = model.value === data.baseline ? [data.baseline] : [data.baseline, model.value];
      for (const name of names) answers.append(answer(name, item.answers[name]));
      box.append(answers);
      list.append(box);
    }
    count.textContent = `${found.length} of ${data.benchmarks[benchmark.value].length} items`;
    more.hidden = found.length <= limit;
  };

  more.addEventListener("click", () => show(shown + PAGE));
  show(PAGE);
})();
