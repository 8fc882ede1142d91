# The image: one static binary, its bill of materials, a directory for the spool, and nothing else. No
# shell, no package manager, no C library.
#
#   docker build -t rowlift .        from the sources alone; BuildKit leaves `prebuilt` out
#   scripts/image                    the same image around a binary built outside, with buildah
#
# Images are named by version. Pin them by digest where a registry can be asked, and let Renovate
# or Dependabot move both together:
#   docker buildx imagetools inspect docker.io/library/rust:1.95.0-bookworm

# Everything of the image but its files.
FROM scratch AS base
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
LABEL org.opencontainers.image.title="rowlift" \
      org.opencontainers.image.description="Puts every row of a spreadsheet into a database table exactly once, over gRPC" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.created="$CREATED" \
      io.rowlift.sbom="/usr/share/sbom/rowlift.cdx.json"
# There is no /tmp: mount a volume here, the root may be read-only. SQLite looks at TMPDIR.
ENV ROWLIFT_SPOOL_DIR=/var/spool/rowlift \
    TMPDIR=/var/spool/rowlift
WORKDIR /
USER 65532:65532
EXPOSE 50051 8080
# The service takes the signal itself, as process 1: it drains, and a second one ends it at once.
STOPSIGNAL SIGTERM
# No HEALTHCHECK: it would be a program in the container; orchestrators ask the admin port.
ENTRYPOINT ["/rowlift"]
CMD ["serve"]

# Around files that scripts/image-files has laid out in the build context.
FROM base AS prebuilt
COPY root/ /

# From the sources: the dependencies in a layer of their own, which lasts until Cargo.lock changes.
FROM docker.io/library/rust:1.95.0-bookworm AS chef
RUN cargo install --locked cargo-chef@0.1.78 cargo-cyclonedx@0.5.9
WORKDIR /src

FROM chef AS plan
COPY . .
RUN cargo chef prepare --recipe-path recipe.json

FROM chef AS build
COPY --from=plan /src/recipe.json recipe.json
RUN cargo chef cook --release --locked --bin rowlift --recipe-path recipe.json
COPY . .
RUN scripts/image-files /image

FROM base AS runtime
COPY --from=build /image/root/ /
