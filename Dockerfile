# The gateway: the Rego toolchain is built with Go, the gateway compiled with TypeScript, and neither is in the image.
FROM golang:1.26.8-bookworm AS toolchain
WORKDIR /build/toolchain
COPY toolchain/ ./
RUN GOOS=wasip1 GOARCH=wasm CGO_ENABLED=0 \
    go build -buildmode=c-shared -trimpath -buildvcs=false "-ldflags=-s -w -buildid=" -o toolchain.wasm .

FROM node:20.20.2-bookworm-slim AS build
WORKDIR /build
COPY package.json package-lock.json ./
RUN npm ci --no-audit --no-fund --loglevel=error
COPY tsconfig.json ./
COPY src/ src/
RUN node node_modules/typescript/bin/tsc -p tsconfig.json && npm prune --omit=dev --no-audit --no-fund

FROM node:20.20.2-bookworm-slim
ENV NODE_ENV=production
WORKDIR /opt/portcullis
COPY --from=build /build/package.json ./
COPY --from=build /build/node_modules node_modules/
COPY --from=build /build/dist dist/
COPY --from=toolchain /build/toolchain/toolchain.wasm toolchain/
COPY toolchain/*.mjs toolchain/
COPY policies/ policies/
COPY examples/ examples/
# What it writes: the decision log, its state, the pins.
RUN install -d -o node -g node -m 0700 /var/lib/portcullis
USER node
VOLUME /var/lib/portcullis
EXPOSE 8080
ENTRYPOINT ["node", "dist/main.js"]
CMD ["serve", "-c", "examples/compose/portcullis.yaml"]
