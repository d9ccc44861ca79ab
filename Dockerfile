# docker build -t plugin-mirror .                     pip downloads the packages
# make image BASE=IMAGE                               without a network: with wheels that the lock accepts
# docker run -p 5000:5000 -v plugin-mirror:/data plugin-mirror

# An image with Python 3.11 or later, its module venv, and libstdc++.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
WORKDIR /src
COPY requirements.lock wheel[s] wheels/
RUN python3 -m venv /opt/plugin-mirror \
 && if ls wheels/*.whl >/dev/null 2>&1; then echo "--no-index --find-links=wheels" > options; else : > options; fi \
 && /opt/plugin-mirror/bin/pip install --no-cache-dir $(cat options) --no-deps --require-hashes --requirement wheels/requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY mirror mirror
RUN if ls wheels/docker_plugin_mirror-*.whl >/dev/null 2>&1; then release=docker-plugin-mirror; else release=.; fi \
 && /opt/plugin-mirror/bin/pip install --no-cache-dir $(cat options) --no-deps "$release" \
 && /opt/plugin-mirror/bin/pip uninstall --quiet --yes setuptools pip

FROM ${BASE}
# Group 0 may write, because OpenShift runs containers as users without a name in this group.
RUN install -d -o 10001 -g 0 -m 0770 /data
COPY --from=build /opt/plugin-mirror /opt/plugin-mirror
COPY config/container.yaml /etc/plugin-mirror/config.yaml
ENV PATH=/opt/plugin-mirror/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# A library that the base image lacks fails the build, not the first start.
RUN plugin-mirror config check --config /etc/plugin-mirror/config.yaml
USER 10001:0
VOLUME /data
EXPOSE 5000
# Life, not readiness: a mirror with a full disk still serves, and must not be restarted for it.
HEALTHCHECK --interval=15s --timeout=10s --start-period=10s \
  CMD ["plugin-mirror", "health", "--config", "/etc/plugin-mirror/config.yaml", "--data", "/data"]
ENTRYPOINT ["plugin-mirror"]
CMD ["serve", "--config", "/etc/plugin-mirror/config.yaml"]
