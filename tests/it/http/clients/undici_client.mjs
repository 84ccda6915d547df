// undici as it is: its own fetch and FormData, a request whose body is a generator, a refusal.
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";

const { fetch, FormData, request, Agent } = createRequire(process.env.NODE_MODULES + "/")("undici");
const server = process.env.PIXMILL;
const headers = { authorization: `Bearer ${process.env.PIXMILL_API_KEY}` };
const dispatcher = new Agent({ pipelining: 4 });

async function ended(accepted) {
  if (!accepted.links) throw new Error(JSON.stringify(accepted));
  for (;;) {
    const { statusCode, body } = await request(server + accepted.links.self, { headers, dispatcher });
    const status = await body.json();
    if (statusCode !== 200) throw new Error(JSON.stringify(status));
    if (status.status !== "processing") return status;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

const form = new FormData();
for (const name of ["cat.jpg", "dog.png"]) form.append("images", new Blob([await readFile(name)]), name);
form.append("options", JSON.stringify({ retries: 1 }));
const answer = await fetch(`${server}/api/upload`, { method: "POST", body: form, headers, dispatcher });
const status = await ended(await answer.json());
console.log(status.status, status.result.length);

async function* body() {
  yield '--edge\r\nContent-Disposition: form-data; name="images"; filename="cat.jpg"\r\n\r\n';
  yield await readFile("cat.jpg");
  yield "\r\n--edge--\r\n";
}
const streamed = await request(`${server}/api/upload`, {
  method: "POST",
  body: body(),
  headers: { ...headers, "content-type": "multipart/form-data; boundary=edge" },
  expectContinue: false,
  dispatcher,
});
const second = await ended(await streamed.body.json());
console.log(second.status, second.result.length);

const bad = new FormData();
bad.append("images", new Blob(["no picture"]), "a.txt");
const refused = await fetch(`${server}/api/upload`, { method: "POST", body: bad, headers, dispatcher });
console.log(refused.status, (await refused.json()).code);
