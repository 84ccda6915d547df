// A site of one page, with pixmill behind it. The browser sees one origin, and no API key.
//
//   PIXMILL=http://127.0.0.1:8080 PIXMILL_API_KEY=… PORT=3000 node examples/site.mjs
//
// In production a reverse proxy (nginx, Caddy) does this: it forwards /api/upload, /api/task_status/… and /files/… to
// pixmill and adds the key. The site itself serves all other paths.
import { createServer, request } from "node:http";
import { readFile } from "node:fs/promises";

const pixmill = new URL(process.env.PIXMILL ?? "http://127.0.0.1:8080");
const key = process.env.PIXMILL_API_KEY;
const page = await readFile(new URL("upload.html", import.meta.url));

const passed = (method, path) =>
  (method === "POST" && path === "/api/upload") ||
  (method === "GET" && (path.startsWith("/api/task_status/") || path.startsWith("/files/")));

const site = createServer((incoming, outgoing) => {
  const { pathname } = new URL(incoming.url, "http://site");
  if (passed(incoming.method, pathname)) {
    const headers = { ...incoming.headers, host: pixmill.host };
    if (key) headers.authorization = `Bearer ${key}`;
    const through = request(new URL(incoming.url, pixmill), { method: incoming.method, headers }, (answer) => {
      outgoing.writeHead(answer.statusCode, answer.headers);
      answer.pipe(outgoing);
    });
    through.on("error", () => outgoing.destroy());
    incoming.pipe(through);
  } else if (incoming.method === "GET" && pathname === "/") {
    outgoing.writeHead(200, { "Content-Type": "text/html; charset=utf-8" }).end(page);
  } else {
    outgoing.writeHead(404).end();
  }
});
site.listen(process.env.PORT ?? 3000, "127.0.0.1", () => console.log(`http://127.0.0.1:${site.address().port}/`));
