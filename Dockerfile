# docker build -t plugin-mirror .
# docker run -p 5000:5000 -v plugin-mirror:/data plugin-mirror

FROM python:3.11-slim-bookworm AS build
WORKDIR /src
COPY requirements.lock ./
RUN python -m venv /opt/plugin-mirror \
 && /opt/plugin-mirror/bin/pip install --no-cache-dir --require-hashes --requirement requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY mirror mirror
RUN /opt/plugin-mirror/bin/pip install --no-cache-dir --no-deps .

FROM python:3.11-slim-bookworm
RUN useradd --uid 10001 --user-group --home-dir /data --no-create-home --shell /usr/sbin/nologin plugin-mirror \
 && install -d -o plugin-mirror -g plugin-mirror -m 0700 /data
COPY --from=build /opt/plugin-mirror /opt/plugin-mirror
COPY config/container.yaml /etc/plugin-mirror/config.yaml
ENV PATH=/opt/plugin-mirror/bin:$PATH PYTHONUNBUFFERED=1
USER plugin-mirror
VOLUME /data
EXPOSE 5000
# Life, not readiness: a mirror with a full disk still serves, and must not be restarted for it.
HEALTHCHECK --interval=15s --timeout=10s --start-period=10s \
  CMD ["plugin-mirror", "health", "--config", "/etc/plugin-mirror/config.yaml", "--data", "/data"]
ENTRYPOINT ["plugin-mirror"]
CMD ["serve", "--config", "/etc/plugin-mirror/config.yaml"]
