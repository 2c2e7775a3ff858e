"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const screen = document.getElementById("screen");
  const status = document.getElementById("status");
  const STORE = `listening:${data.design}:${data.subject}`;

  // --- small things

  function el(name, properties = {}, ...children) {
    const node = document.createElement(name);
    for (const [key, value] of Object.entries(properties)) {
      if (key === "on") for (const [event, f] of Object.entries(value)) node.addEventListener(event, f);
      else if (key in node && key !== "for") node[key] = value;
      else node.setAttribute(key, value);
    }
    node.append(...children.filter((child) => child !== null));
    return node;
  }

  function svg(name, attributes) {
    const node = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    return node;
  }

  const paragraphs = (texts) => texts.map((text) => el("p", {}, text));
  const now = () => new Date().toISOString();
  const say = (text) => { status.textContent = text; };

  // --- the walk through the test, and what is remembered of it

  function walk() {
    const steps = [{ kind: "welcome" }, { kind: "volume" }];
    let part = null, practice = false, sinceBreak = 0;
    data.trials.forEach((trial, i) => {
      if (trial.part !== part) {
        steps.push({ kind: "part", part: trial.part, practice: trial.practice });
        [part, practice, sinceBreak] = [trial.part, trial.practice, 0];
      } else if (practice && !trial.practice) {
        steps.push({ kind: "serious", part });
        [practice, sinceBreak] = [false, 0];
      } else if (data.breakEvery && sinceBreak >= data.breakEvery && data.trials.length - i > 9) {
        steps.push({ kind: "break" });
        sinceBreak = 0;
      }
      steps.push({ kind: "trial", trial, index: i });
      sinceBreak += 1;
    });
    steps.push({ kind: "finish" });
    return steps;
  }

  const steps = walk();
  const fresh = () => ({
    version: 1, design: data.design, subject: data.subject, step: 0, consent: false,
    started: null, finished: null, comment: "", answers: {},
  });

  let keeps = true;
  let state = fresh();
  function load() {
    try {
      const text = localStorage.getItem(STORE);
      localStorage.setItem(STORE + ":try", "1");
      localStorage.removeItem(STORE + ":try");
      const kept = text === null ? null : JSON.parse(text);
      if (kept && kept.version === 1 && kept.design === data.design && Number.isInteger(kept.step)
          && kept.step >= 0 && kept.step < steps.length && kept.answers) state = kept;
    } catch (error) {
      keeps = false;
    }
  }
  function save() {
    try { localStorage.setItem(STORE, JSON.stringify(state)); } catch (error) { keeps = false; }
  }

  // --- sounds: kept as base64 in the page, decoded when they are needed

  const urls = new Map();
  function soundUrl(id) {
    if (!urls.has(id)) {
      const bytes = Uint8Array.from(atob(document.getElementById(id).textContent.trim()), (c) => c.charCodeAt(0));
      urls.set(id, URL.createObjectURL(new Blob([bytes], { type: data.soundType })));
    }
    return urls.get(id);
  }
  function forgetSounds() {
    for (const url of urls.values()) URL.revokeObjectURL(url);
    urls.clear();
  }

  const RING = 2 * Math.PI * 44;
  const PLAY = "M42 33 L68 50 L42 67 Z";
  const WAVE = "M34 42h6v16h-6z M47 34h6v32h-6z M60 42h6v16h-6z";

  // One play button. It counts as heard once the sound ran to its end, every part of it played.
  class Player {
    constructor(id, name, changed, most = 0) {
      this.most = most;
      this.heard = false;
      this.plays = 0;
      this.changed = changed;
      this.name = name;
      this.audio = new Audio();
      this.audio.preload = "auto";
      this.audio.src = soundUrl(id);
      this.ring = svg("circle", { class: "ring", cx: 50, cy: 50, r: 44, "stroke-dasharray": RING, "stroke-dashoffset": RING });
      this.sign = svg("path", { class: "sign", d: PLAY });
      const picture = svg("svg", { viewBox: "0 0 100 100", "aria-hidden": "true" });
      picture.append(svg("circle", { class: "disc", cx: 50, cy: 50, r: 40 }), svg("circle", { class: "track", cx: 50, cy: 50, r: 44 }), this.ring, this.sign);
      this.button = el("button", { type: "button", className: "play waiting", on: { click: () => this.play() } }, picture);
      this.node = el("div", { className: "player" }, this.button, name ? el("span", {}, name) : null);
      this.audio.addEventListener("ended", () => this.ended());
      this.audio.addEventListener("error", () => this.fail());
      this.audio.addEventListener("ratechange", () => { this.audio.playbackRate = 1; });
      this.audio.addEventListener("pause", () => this.draw());
      this.draw();
    }

    get playing() { return !this.audio.paused && !this.audio.ended; }
    get spent() { return this.most > 0 && this.plays >= this.most && !this.started; }

    play() {
      if (this.playing || this.spent || Player.current?.playing) return;
      Player.current = this;
      if (!this.started) {
        this.audio.currentTime = 0;
        this.plays += 1;
        this.started = true;
      }
      this.audio.play().then(() => { this.tick(); this.changed(); }, () => this.fail());
    }

    tick() {
      this.draw();
      if (this.playing) requestAnimationFrame(() => this.tick());
    }

    ended() {
      let played = 0;
      for (let i = 0; i < this.audio.played.length; i += 1) played += this.audio.played.end(i) - this.audio.played.start(i);
      this.started = false;
      if (played >= this.audio.duration - 0.15) this.heard = true;
      this.draw();
      this.changed();
    }

    fail() {
      if (this.dead) return;
      this.started = false;
      this.failed = true;
      this.draw();
      this.changed();
    }

    draw() {
      const share = this.playing ? this.audio.currentTime / (this.audio.duration || 1) : this.heard ? 1 : 0;
      this.ring.setAttribute("stroke-dashoffset", RING * (1 - Math.min(share, 1)));
      this.sign.setAttribute("d", this.playing ? WAVE : PLAY);
      this.button.classList.toggle("heard", this.heard && !this.playing);
      this.button.classList.toggle("waiting", !this.heard && !this.playing);
      this.button.disabled = Boolean(this.spent);
      const what = this.name || "the sound";
      this.button.setAttribute("aria-label", this.playing ? `Playing ${what}` : this.heard ? `Play ${what} again` : `Play ${what}`);
    }

    stop() {
      this.dead = true;
      this.audio.pause();
      this.audio.removeAttribute("src");
      if (Player.current === this) Player.current = null;
    }
  }

  // --- screens

  let keys = {};
  let leave = () => {};

  function show(nodes, { heading, enter = null, space = null, digit = null, ready = null, left = () => {} }) {
    leave = left;
    keys = { enter, space, digit, ready };
    screen.replaceChildren(...nodes.filter((node) => node !== null));
    const rated = data.trials.filter((trial) => trial.id in state.answers).length;
    const share = state.finished ? 1 : rated / data.trials.length;
    const bar = document.getElementById("progress");
    bar.firstElementChild.style.width = `${100 * share}%`;
    bar.setAttribute("aria-valuenow", Math.round(100 * share));
    document.getElementById("count").textContent = steps[state.step].kind === "trial"
      ? `${steps[state.step].index + 1} of ${data.trials.length}` : data.subject;
    scrollTo(0, 0);
    heading.tabIndex = -1;
    heading.focus({ preventScroll: true });
  }

  function go(step) {
    state.step = step;
    save();
    draw();
  }
  const next = () => go(state.step + 1);
  const button = (text, act, properties = {}) =>
    el("button", { type: "button", className: "main", on: { click: act }, ...properties }, text);
  const keyHint = (...hints) => el("p", { className: "keys" }, ...hints.map((hint) => el("span", {}, ...hint)));
  const key = (text) => el("kbd", {}, text);

  function welcome() {
    const heading = el("h1", {}, data.title);
    const start = button("Start", () => {
      if (!box.checked) return;
      [state.consent, state.started] = [true, now()];
      next();
    }, { disabled: true });
    const box = el("input", { type: "checkbox", id: "agree", on: { change: () => { start.disabled = !box.checked; } } });
    show([
      heading,
      el("ul", {},
        el("li", {}, `It takes about ${data.minutes} minutes. You may pause at any time and go on later in this browser.`),
        el("li", {}, data.headphones ? "You need headphones and a quiet room." : "You need a quiet room."),
        el("li", {}, "At the end you save your answers as a file and send it to the person who gave you this page.")),
      el("div", { className: "consent", tabIndex: 0, role: "region", "aria-label": "Consent" }, ...paragraphs(data.consent)),
      el("label", { className: "check" }, box, el("span", {}, "I have read this and want to take part.")),
      keeps ? null : el("p", { className: "warn" }, "This browser keeps nothing for this page: please finish in one go and do not close it."),
      start,
    ], { heading, enter: () => start.click() });
  }

  function resume() {
    const heading = el("h1", {}, "Welcome back");
    const rated = data.trials.filter((trial) => trial.id in state.answers).length;
    show([
      heading,
      el("p", {}, `${rated} of ${data.trials.length} answers are kept. You go on where you stopped.`),
      button("Go on", () => draw()),
    ], { heading, enter: () => draw() });
  }

  function volume() {
    const heading = el("h1", {}, "Set the volume");
    const player = new Player(data.volume, "", () => {
      go_on.disabled = !player.heard;
      hint.textContent = player.failed ? "This browser cannot play the sound. Please try another one." : player.playing ? "Playing …" : player.heard ? "Play it again as often as you like." : "";
    });
    const hint = el("p", { className: "hint" });
    const go_on = button("The volume is right", next, { disabled: true });
    show([
      heading,
      el("p", {}, `${data.headphones ? "Put your headphones on, then play" : "Play"} this sentence and set your volume so that it is comfortable. Please leave it there until the end.`),
      el("div", { className: "players" }, player.node), hint, go_on,
      keyHint([key("Space"), " play"], [key("Enter"), " go on"]),
    ], { heading, enter: () => go_on.click(), space: () => player.play(), left: () => player.stop() });
  }

  const CHECKS = "Now and then a voice may ask you to choose a certain number. Then please choose that number.";

  function part(step) {
    const scale = data.parts[step.part];
    const heading = el("h1", {}, scale.title);
    const n = data.trials.filter((trial) => trial.part === step.part && trial.practice).length;
    const told = ["Listen to the end, then answer."];
    if (scale.key !== "headphones") {
      told.push("There are no right or wrong answers: your first impression counts.");
      told.push(n > 1 ? `The first ${n} are for practice.` : n ? "The first one is for practice." : CHECKS);
    }
    show([
      heading, ...paragraphs(scale.advice),
      el("p", {}, el("strong", {}, scale.question)),
      el("ul", { className: "scale" }, ...answersOf(scale).map(([value, text]) => el("li", {}, el("b", {}, String(value)), text))),
      el("p", { className: "soft" }, told.join(" ")),
      button(n ? "Begin the practice" : "Begin", next),
    ], { heading, enter: next });
  }

  function serious(step) {
    const heading = el("h1", {}, "End of the practice");
    const n = data.trials.filter((trial) => trial.part === step.part && !trial.practice).length;
    show([
      heading,
      el("p", {}, `Now it counts: ${n} to go in this part. Use the whole scale as you think fit.`),
      el("p", { className: "soft" }, CHECKS),
      button("Begin", next),
    ], { heading, enter: next });
  }

  function rest() {
    const heading = el("h1", {}, "Time for a break");
    show([
      heading, el("p", {}, "Rest your ears for a minute. Everything so far is kept."), button("Go on", next),
    ], { heading, enter: next });
  }

  // Best answer first, as on the scale of P.800; the three tones in their order.
  function answersOf(scale) {
    const all = scale.answers.map((text, i) => [i + 1, text]);
    return scale.key === "headphones" ? all : all.reverse();
  }

  function trial(step) {
    const { trial: item } = step;
    const scale = data.parts[item.part];
    const shown = performance.now();
    const heading = el("h1", {}, scale.question);
    const hint = el("p", { className: "hint" });
    let rating = null;
    const changed = () => {
      const all = players.every((player) => player.heard);
      const busy = players.find((player) => player.playing);
      answers.disabled = !all;
      done.disabled = !(all && rating !== null);
      const todo = players.find((player) => !player.heard);
      hint.textContent = players.some((player) => player.failed)
        ? "This sound does not play. Reload the page; if that does not help, try another browser."
        : busy ? "Playing …"
        : rating !== null ? ""
        : all ? "Now choose your answer."
        : todo && players.length > 1 ? `Listen to ${todo.name} to the end.` : "Listen to the end, then answer.";
      say(hint.textContent);
    };
    const names = item.sounds.length > 1 ? ["A", "B"] : [""];
    const players = item.sounds.map((id, i) => new Player(id, names[i], changed, data.maxPlays));
    const inputs = new Map();
    const answers = el("fieldset", { disabled: true }, el("legend", { className: "hidden" }, scale.question),
      ...answersOf(scale).map(([value, text]) => {
        const input = el("input", { type: "radio", name: "rating", value: String(value), on: { change: () => { rating = value; changed(); } } });
        inputs.set(value, input);
        return el("label", { className: "answer" }, input, el("b", {}, String(value)), el("span", {}, text));
      }));
    const done = button("Next", () => {
      if (done.disabled) return;
      state.answers[item.id] = {
        rating, plays: players.map((player) => player.plays),
        seconds: Math.round((performance.now() - shown) / 100) / 10, at: now(),
      };
      next();
    }, { disabled: true });
    const play = () => {
      const first = players.find((player) => !player.heard) ?? players[(players.indexOf(last) + 1) % players.length];
      last = first;
      first.play();
    };
    let last = null;
    show([
      item.practice ? el("span", { className: "tag" }, "Practice") : null,
      heading,
      el("div", { className: "players" }, ...players.map((player) => player.node)),
      hint, answers, done,
      keyHint([key("Space"), " play"], [key("1"), "–", key(String(scale.answers.length)), " answer"], [key("Enter"), " next"]),
    ], {
      heading,
      enter: () => done.click(),
      ready: () => !done.disabled,
      space: play,
      digit: (value) => {
        if (answers.disabled || !inputs.has(value)) return;
        inputs.get(value).checked = true;
        inputs.get(value).focus();
        rating = value;
        changed();
      },
      left: () => { players.forEach((player) => player.stop()); forgetSounds(); },
    });
    changed();
  }

  // --- results

  function results() {
    return {
      schema: "listening-results", schema_version: 1, design: data.design, subject: data.subject,
      consent: state.consent, started_at: state.started, finished_at: state.finished,
      browser: navigator.userAgent, comment: state.comment,
      answers: data.trials.filter((trial) => trial.id in state.answers)
        .map((trial) => ({ trial: trial.id, ...state.answers[trial.id] })),
    };
  }

  function csv() {
    // Every cell is made here: identifiers, numbers and times, nothing that was typed.
    const lines = [["design", "subject", "trial", "rating", "plays", "seconds", "answered_at"]];
    for (const answer of results().answers) {
      lines.push([data.design, data.subject, answer.trial, answer.rating, answer.plays.join(" "), answer.seconds, answer.at]);
    }
    return lines.map((line) => line.join(",")).join("\r\n") + "\r\n";
  }

  function download(text, type, ending) {
    const url = URL.createObjectURL(new Blob([text], { type }));
    const link = el("a", { href: url, download: `listening_${data.design}_${data.subject}.${ending}` });
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(url), 60000);
  }

  function finish() {
    if (!state.finished) {
      state.finished = now();
      save();
    }
    const heading = el("h1", {}, "Thank you!");
    const json = () => JSON.stringify(results(), null, 1);
    const text = el("pre", { tabIndex: 0 }, json());
    const comment = el("textarea", { rows: 3, maxLength: 2000, value: state.comment, on: { input: () => { state.comment = comment.value; text.textContent = json(); save(); } } });
    const copy = el("button", { type: "button", className: "plain", on: { click: () => {
      const told = (success) => { copy.textContent = success ? "Copied" : "Select the text and copy it"; };
      if (navigator.clipboard) navigator.clipboard.writeText(json()).then(() => told(true), () => told(false));
      else told(false);
    } } }, "Copy the answers");
    show([
      heading,
      el("p", {}, "That was the last one. Please save your answers and send the file to the person who gave you this page."),
      el("label", { className: "text" }, el("span", {}, "Is there anything we should know? (optional)"), comment),
      el("div", { className: "row" }, button("Save my answers", () => { download(json(), "application/json", "json"); say("Saved."); }, { id: "save-json" })),
      el("div", { className: "row" },
        el("button", { type: "button", className: "plain", id: "save-csv", on: { click: () => download(csv(), "text/csv", "csv") } }, "Save as a table (CSV)"), copy),
      el("details", {}, el("summary", {}, "Nothing was saved?"),
        el("p", { className: "soft" }, "Some phones do not save files from such a page. Then send this text instead:"), text),
      el("details", {}, el("summary", {}, "Delete my answers from this browser"),
        el("p", { className: "soft" }, "Only after you have sent them: they cannot be brought back."),
        el("button", { type: "button", className: "plain", on: { click: () => {
          try { localStorage.removeItem(STORE); } catch (error) { keeps = false; }
          state = fresh();
          draw();
        } } }, "Delete")),
    ], { heading });
  }

  function draw() {
    leave();  // before the next screen makes its sounds
    leave = () => {};
    const step = steps[state.step];
    ({ welcome, volume, part, serious, break: rest, trial, finish })[step.kind](step);
  }

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest?.("textarea, summary, pre")) return;
    const box = event.target.matches?.("input[type=checkbox]");
    const act = event.key === "Enter" ? keys.enter
      : event.key === " " && !box ? keys.space
      : /^[1-9]$/.test(event.key) && keys.digit ? () => keys.digit(Number(event.key)) : null;
    // Enter on a button presses that button, but for a play button once the answer is given.
    if (!act || (event.key === "Enter" && event.target.closest?.("button") && !keys.ready?.())) return;
    event.preventDefault();
    if (!event.repeat) act();
  });
  // Space on a focused button would also click it when it is released.
  document.addEventListener("keyup", (event) => {
    if (event.key === " " && keys.space && !event.target.closest?.("textarea")) event.preventDefault();
  });

  load();
  save();
  if (state.step > 0 && !state.finished) resume();
  else draw();
})();
