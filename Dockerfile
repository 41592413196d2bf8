# An image of rtd: the Debian package on a bare Debian, run by an account without rights.
#
#   docker build -t rtd:0.1.0 .         (or: buildah build --format docker -t rtd:0.1.0 .)
#   docker run --rm -p 127.0.0.1:9180:9180 rtd:0.1.0
#
# Plugins and a configuration of one's own come by an image that begins with FROM rtd:0.1.0, or by volumes at
# /usr/lib/rtd/plugins and /etc/rtd. docs/operations.md says what a container leaves of the sandboxes' walls.
ARG BASE=docker.io/library/debian:bookworm-slim

FROM ${BASE} AS build
ENV DEBIAN_FRONTEND=noninteractive
# A layer of its own: it changes only with the list of packages.
COPY packaging/debian/control /dependencies/debian/control
RUN apt-get -q update && \
    apt-get -q -y install --no-install-recommends dpkg-dev && \
    apt-get -q -y build-dep --no-install-recommends /dependencies
COPY . /source/rtd
WORKDIR /source/rtd
RUN cp -r packaging/debian debian && \
    DEB_BUILD_OPTIONS=noautodbgsym dpkg-buildpackage --build=binary --no-sign && \
    mkdir /packages && mv /source/rtd_*.deb /packages/rtd.deb

FROM ${BASE}
ENV DEBIAN_FRONTEND=noninteractive
# A number that others can rely on: who may not be root is asked for by number, and volumes belong to one.
RUN groupadd --system --gid 65532 rtd && \
    useradd --system --uid 65532 --gid rtd --home-dir /var/lib/rtd --shell /usr/sbin/nologin rtd
COPY --from=build /packages/rtd.deb /var/cache/rtd.deb
RUN apt-get -q update && \
    apt-get -q -y install --no-install-recommends systemd-standalone-sysusers /var/cache/rtd.deb && \
    rm -rf /var/lib/apt/lists/* /var/cache/rtd.deb && \
    install -d -o rtd -g rtd -m 0755 /run/rtd /var/lib/rtd
COPY packaging/container/rtd.json /etc/rtd/rtd.json
USER 65532:65532
EXPOSE 9180
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["rtctl", "status", "--quiet"]
ENTRYPOINT ["rtd"]
CMD ["--config", "/etc/rtd/rtd.json", "--state-dir", "/var/lib/rtd"]
