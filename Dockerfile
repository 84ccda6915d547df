# docker build -t pixmill .
# docker run --rm -v pixmill:/data -p 127.0.0.1:8080:8080 \
#     -e PIXMILL__AUTH__KEYS__0__NAME=shop -e PIXMILL__AUTH__KEYS__0__SHA256=… pixmill
#
# A container is reached from outside, so `serve` listens on every address and needs an API
# key: without a key it stops with an error. config.default.toml shows how to make a key.

FROM rust:1.95-slim-trixie AS build
WORKDIR /src
# For the assembler of AVIF. Debian keeps no old versions to pin.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends nasm && rm -rf /var/lib/apt/lists/*
COPY . .
# With the caches, a rebuild compiles only what changed. They are not part of the layer, hence the install.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    scripts/dist --features asm && install -D -t /out target/dist/pixmill target/dist/pixmill.debug

# docker build --target debug -o . .     the debug information of the image's program, for a debugger
FROM scratch AS debug
COPY --from=build /out/pixmill.debug /

FROM debian:trixie-slim
# The certificates are for rediss:// and HTTPS. Debian keeps no old versions to pin.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates tzdata \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --user-group --uid 10001 --no-create-home --shell /usr/sbin/nologin pixmill \
    && install -d -o pixmill -g pixmill /data
COPY --from=build /out/pixmill /usr/local/bin/pixmill
COPY LICENSE LICENSE-MIT LICENSE-APACHE assets/fonts/*.txt /usr/share/doc/pixmill/
ENV PIXMILL__DATA_DIR=/data
USER 10001
WORKDIR /data
VOLUME /data
EXPOSE 8080
STOPSIGNAL SIGTERM
ENTRYPOINT ["pixmill"]
CMD ["serve", "--listen", "0.0.0.0:8080"]
