# weir in a container: docker build -t weir .   (README.md, "In a container")
FROM debian:12 AS build
WORKDIR /src
COPY . .
# The packages are those of ./dev, the one list there is. The second line fails when a library is missing.
RUN ./dev build release weir
RUN container/image-tree build/release/weir /image

FROM scratch
COPY --from=build /image/root /
COPY --from=build --chown=65532:65532 /image/owned /
ENV WEIR_SOCKET=/run/weir/weir.sock XDG_STATE_HOME=/var/lib
USER 65532:65532
# Relative paths of sinks are beneath the data volume: the root may be read-only.
WORKDIR /var/lib/weir
VOLUME ["/run/weir", "/var/lib/weir"]
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s CMD ["/usr/bin/weir", "status", "-o", "json"]
ENTRYPOINT ["/usr/bin/weir"]
CMD ["agent", "--set", "sandbox={}"]
