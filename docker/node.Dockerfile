# Feathers applications in Node.js with @rachis/feathers, built from this repository: those of examples/node.
#
#   docker build -f docker/node.Dockerfile -t rachis-node .
#
# For one of your own, take what the stage `package` leaves: a tarball for `npm install`.
ARG RUST_IMAGE=rust:1.95-bookworm
# Any image with Node.js 20 or newer and glibc 2.36 or newer.
ARG NODE_IMAGE=node:22-bookworm-slim

FROM ${RUST_IMAGE} AS module
WORKDIR /src
COPY . .
RUN cargo build --locked --release --package rachis-node --features tls,aws

FROM ${NODE_IMAGE} AS package
WORKDIR /package
COPY bindings/node/package.json bindings/node/README.md bindings/node/index.* ./
COPY bindings/node/lib lib
COPY --from=module /src/target/release/librachis_node.so prebuilt/
RUN mv prebuilt/librachis_node.so "prebuilt/rachis.$(node -p 'require("./lib/native.js").platform()').node" \
 && npm pack --pack-destination /

FROM ${NODE_IMAGE}
WORKDIR /app
COPY examples/node/package.json ./
COPY --from=package /rachis-feathers-*.tgz /tmp/
RUN npm install --omit=dev --no-audit --no-fund /tmp/rachis-feathers-*.tgz && rm -r /tmp/*.tgz /root/.npm
COPY examples/node/*.mjs ./
USER 65532:65532
ENV NODE_ENV=production HOST=::
EXPOSE 3030
STOPSIGNAL SIGTERM
CMD ["node", "gateway.mjs"]
