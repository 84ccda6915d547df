"""httpx as it is: a client that keeps its connection, an async one that streams the form, a refusal."""
import asyncio
import os
import time

import httpx

server = os.environ["PIXMILL"]
headers = {"Authorization": "Bearer " + os.environ["PIXMILL_API_KEY"]}


def good(answer):
    """The answer, or an error with the server's words."""
    assert answer.is_success, f"{answer.status_code}: {answer.text}"
    return answer


def ended(client, answer):
    while True:
        status = good(client.get(answer["links"]["self"])).json()
        if status["status"] != "processing":
            return status
        time.sleep(0.05)


with httpx.Client(base_url=server, headers=headers, timeout=60) as client:
    files = [("images", ("cat.jpg", open("cat.jpg", "rb"), "image/jpeg")), ("images", open("dog.png", "rb"))]
    answer = good(client.post("/api/upload", files=files, data={"options": '{"priority": 9}'}))
    assert answer.headers["location"] == answer.json()["links"]["self"]
    status = ended(client, answer.json())
    for path in (path for picture in status["result"] for path in picture["paths"]):
        file = good(client.get(path))
        assert file.headers["content-type"] in ("image/jpeg", "image/png"), file.headers
    print(status["status"], len(status["result"]))


async def stream():
    async def body():
        yield b'--edge\r\nContent-Disposition: form-data; name="images"; filename="cat.jpg"\r\n\r\n'
        with open("cat.jpg", "rb") as file:
            while chunk := file.read(1000):
                yield chunk
        yield b"\r\n--edge--\r\n"

    async with httpx.AsyncClient(base_url=server, headers=headers, timeout=60) as client:
        form = {"Content-Type": "multipart/form-data; boundary=edge"}
        return good(await client.post("/api/upload", content=body(), headers=form)).json()


with httpx.Client(base_url=server, headers=headers, timeout=60) as client:
    status = ended(client, asyncio.run(stream()))
    print(status["status"], len(status["result"]))
    refused = client.post("/api/upload", files={"images": ("a.txt", b"no picture")})
    assert refused.headers["content-type"] == "application/problem+json"
    print(refused.status_code, refused.json()["code"])
