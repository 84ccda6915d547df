"use strict";
// Sends what the forms of this page have, to this server, and shows what comes back.
const MOST = 100000;
const key = document.getElementById("key");
const keyForm = key.closest("form");
keyForm.hidden = false;
keyForm.addEventListener("submit", (event) => event.preventDefault());

// What is sent: the address, and fetch's options.
function request(form) {
  let path = form.dataset.path;
  const query = new URLSearchParams();
  const headers = {};
  const parts = new FormData();
  const options = { method: form.dataset.method, headers };
  for (const field of form.elements) {
    const value = field.value;
    switch (field.dataset.in) {
      case "path": path = path.replace(`{${field.name}}`, encodeURIComponent(value)); break;
      case "query": if (value) query.append(field.name, value); break;
      case "header": if (value) headers[field.name] = value; break;
      case "body": if (value) options.body = value; break;
      case "part":
        if (field.files) for (const file of field.files) parts.append(field.name, file);
        else if (value.trim()) parts.append(field.name, value);
    }
  }
  if (form.dataset.media === "multipart/form-data") options.body = parts;
  else if (options.body) headers["Content-Type"] = form.dataset.media;
  if (key.value) headers.Authorization = `Bearer ${key.value}`;
  return [query.size ? `${path}?${query}` : path, options];
}

function add(answer, name, text, parent = answer) {
  const element = document.createElement(name);
  element.textContent = text;
  parent.append(element);
  return element;
}

async function show(answer, response) {
  const type = (response.headers.get("Content-Type") ?? "").split(";")[0];
  add(answer, "p", `${response.status} ${response.statusText}`).className = response.ok ? "good" : "must";
  const told = [...response.headers].map(([name, value]) => `${name}: ${value}`).join("\n");
  const details = add(answer, "details", "");
  add(answer, "summary", "Headers", details);
  add(answer, "pre", told, details);
  if (type.startsWith("image/")) {
    const image = new Image();
    image.alt = "The picture in the answer";
    image.src = URL.createObjectURL(await response.blob());
    answer.append(image);
    return;
  }
  if (type && !type.startsWith("text/") && !type.includes("json")) {
    const { size } = await response.blob();
    if (size) add(answer, "p", `${size} bytes of ${type}`);
    return;
  }
  if (!response.body) return;
  const shown = add(answer, "pre", "");
  shown.tabIndex = 0;
  let text = "";
  // Piece by piece, for streams of events do not end.
  for (const reader = response.body.pipeThrough(new TextDecoderStream()).getReader(); ;) {
    const { done, value } = await reader.read();
    if (done) break;
    text += value;
    shown.textContent = text.slice(-MOST);
  }
  if (!text) shown.remove();
  else if (type.includes("json")) {
    try { text = JSON.stringify(JSON.parse(text), null, 2); } catch { /* It is shown as it came. */ }
    shown.textContent = text.length > MOST ? `${text.slice(0, MOST)}\n…` : text;
  }
}

for (const form of document.querySelectorAll("form.try")) {
  const [answer, stop] = [form.querySelector(".answer"), form.querySelector(".stop")];
  let sent;
  stop.addEventListener("click", () => sent?.abort());
  form.addEventListener("submit", async event => {
    event.preventDefault();
    sent?.abort();
    const own = sent = new AbortController();
    answer.replaceChildren();
    stop.hidden = false;
    try {
      const [path, options] = request(form);
      const response = await fetch(path, { ...options, signal: own.signal, redirect: "manual" });
      if (response.type === "opaqueredirect") add(answer, "p", "It leads on to another page.");
      else await show(answer, response);
    } catch (error) {
      if (own === sent) add(answer, "p", own.signal.aborted ? "Stopped." : `Nothing came back: ${error.message}`).className = "must";
    } finally {
      if (own === sent) stop.hidden = true;
    }
  });
  form.hidden = false;
}
