# The program on Debian 12, without build tools and without root:
#     docker build -t foretrain .
#     docker run --rm -v "$PWD:/data" foretrain plan job.json -o plans.json
FROM debian:12-slim AS build
RUN apt-get update \
 && apt-get install -y --no-install-recommends \
      cmake dpkg-dev g++ libboost-dev libcli11-dev libfmt-dev libpugixml-dev libtomlplusplus-dev libyaml-cpp-dev ninja-build nlohmann-json3-dev \
 && rm -rf /var/lib/apt/lists/*
COPY . /source
RUN cmake -S /source -B /build -G Ninja -DCMAKE_BUILD_TYPE=Release -DBUILD_TESTING=OFF -DFORETRAIN_CUDA=OFF \
      -DFORETRAIN_SOURCE_DATA=OFF \
 && cmake --build /build \
 && cd /build && cpack

FROM debian:12-slim
COPY --from=build /build/packages/foretrain_*.deb /tmp/
RUN apt-get update \
 && apt-get install -y --no-install-recommends /tmp/foretrain_*.deb \
 && rm -rf /var/lib/apt/lists/* /tmp/foretrain_*.deb \
 && useradd --create-home --uid 1000 foretrain
USER foretrain
WORKDIR /data
ENTRYPOINT ["foretrain"]
CMD ["--help"]
