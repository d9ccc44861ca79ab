"""HTTP requests to single hosts of an upstream, within all limits."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from functools import partial

import aiohttp
import structlog
from yarl import URL

from mirror.oci import errors
from mirror.oci.timestamps import machine_time
from mirror.runtime.clock import Clock
from mirror.upstream.http.exchange import Answer, Request
from mirror.upstream.http.request_body import RequestBody
from mirror.upstream.http.upstream_connections import UpstreamConnections
from mirror.upstream.http.upstream_errors import TlsFault, connection_fault, redacted
from mirror.upstream.http.upstream_stats import HostState, UpstreamStats
from mirror.upstream.http.upstream_urls import UpstreamUrls
from mirror.upstream.limits.bandwidth import rate_at
from mirror.upstream.limits.circuit_breaker import BreakerState, CircuitBreaker
from mirror.upstream.limits.connection_slots import ConnectionSlots
from mirror.upstream.limits.rate_limiter import RateAccount, RateLimiter, opened_account
from mirror.upstream.limits.server_quota import ServerQuota
from mirror.upstream.limits.upstream_policy import UpstreamPolicy
from mirror.wire import rate_limit, retry_after

_LOG = structlog.get_logger(__name__)

# Statuses with which a gateway reports a dead server. A 500 may concern one manifest only, so it is not counted.
_GATEWAY_STATUSES = frozenset({502, 503, 504})
# Redirects choose the hosts, so the number of remembered hosts is bounded.
_MOST_HOSTS = 64


class Transport:
    """The sender of requests to the hosts of an upstream. Created by :meth:`open`.

    Each host has its own circuit breaker. If blobs are stored on another host, that host may fail while the upstream
    works.

    Attributes:
        tokens: number of tokens received.
        head_fallbacks: number of GET requests in place of HEAD, by kind of content.
    """

    def __init__(
        self,
        *,
        name: str,
        addresses: UpstreamUrls,
        connections: UpstreamConnections,
        policy: UpstreamPolicy,
        clock: Clock,
        accounts: tuple[RateAccount, RateAccount],
    ) -> None:
        limits = policy.limits
        self._name = name
        self._base = addresses.base
        self._connections = connections
        self._policy = policy
        self._clock = clock
        self._slots = ConnectionSlots(limits.connections)
        self._request_pace = RateLimiter(lambda: limits.requests_per_second, accounts[0], clock, least_burst=1)
        self._byte_pace = RateLimiter(lambda: rate_at(limits.bandwidth, limits.zone, clock.now()), accounts[1], clock)
        self._allowance = ServerQuota(clock)
        self._breakers: dict[URL, CircuitBreaker] = {self._base: CircuitBreaker(policy.thresholds, clock)}
        self._failures: Counter[str] = Counter()
        self._requests = 0
        self._received_bytes = 0
        self._paced_seconds = 0.0
        self.tokens = 0
        self.head_fallbacks: Counter[str] = Counter()

    @classmethod
    @asynccontextmanager
    async def open(
        cls, name: str, addresses: UpstreamUrls, connections: UpstreamConnections, policy: UpstreamPolicy, clock: Clock
    ) -> AsyncIterator[Transport]:
        """Open a transport. No request is sent yet.

        Args:
            name: name of the upstream.
            addresses: addresses of the upstream.
            connections: connections to the hosts.
            policy: timeouts, retries and limits.
            clock: current time.

        Raises:
            ConfigurationFault: the folder of shared limits is unusable.
        """
        limits = policy.limits
        shared = limits.shared_folder
        with ExitStack() as stack:
            requests, received = (
                stack.enter_context(opened_account(shared / f"{name}.{kind}" if shared and is_limited else None))
                for kind, is_limited in (("requests", limits.requests_per_second), ("bytes", limits.bandwidth))
            )
            yield cls(
                name=name,
                addresses=addresses,
                connections=connections,
                policy=policy,
                clock=clock,
                accounts=(requests, received),
            )

    async def exchange(self, request: Request, url: URL, authorization: str | None) -> Answer:
        """Send a request to one host and return its answer, which the caller must close.

        Args:
            request: the request.
            url: URL of the request, or the target of a redirect.
            authorization: value of ``Authorization``, if any.

        Raises:
            UpstreamOffline: the upstream is configured as offline.
            CircuitOpen: the circuit breaker of the host is open.
            UpstreamBusy: the upstream requested a pause that is not over.
            UpstreamUnreachable: no connection, or no answer in time.
            UpstreamProtocolError: the answer is not HTTP, or the host is forbidden.
        """
        own = url.origin() == self._base
        breaker = self._breaker(url.origin())
        self._require_available(url, breaker)
        await self._wait_for_turn(request, url, own=own)
        await self._slots.enter(bulk=request.bulk)
        try:
            # Checked again, because the breaker may have opened while this request waited for its turn.
            self._require_available(url, breaker)
            answer = await self._send(request, url, authorization, breaker, own=own)
        except BaseException:
            self._slots.leave(bulk=request.bulk)
            raise
        if own:
            self._update_quota(request, answer)
        return answer

    def error_for_request(
        self, asked: str, error: type[errors.UpstreamFault], what: str, **detail: object
    ) -> errors.UpstreamFault:
        """Return an error that names the upstream and the request. Count the error as :meth:`count_failure` does."""
        return self.count_failure(
            error(f"upstream {self._name}: {asked}: {what}", **{"upstream": self._name, **detail})
        )

    def count_failure(self, error: errors.UpstreamFault) -> errors.UpstreamFault:
        """Count an error and return it. Log a violation of the protocol, which a lack of TLS or trust is not."""
        self._failures[error.reason] += 1
        if isinstance(error, errors.UpstreamProtocolError) and not isinstance(error, TlsFault):
            _LOG.warning("upstream broke the protocol", upstream=self._name, error=str(error))
        return error

    @property
    def quota(self) -> rate_limit.RateLimit | None:
        """The quota that the upstream last reported. None if the upstream never reported a quota."""
        return self._allowance.quota

    def stats(self) -> UpstreamStats:
        """Return the counts so far."""
        hosts = []
        for host, breaker in self._breakers.items():
            opening = breaker.opening
            since, why = (opening.since, opening.why) if opening else (None, "")
            hosts.append(HostState(str(host), breaker.state, since, why))
        return UpstreamStats(
            name=self._name,
            offline=self._policy.offline,
            requests=self._requests,
            received_bytes=self._received_bytes,
            paced_seconds=self._paced_seconds,
            tokens=self.tokens,
            head_fallbacks=dict(self.head_fallbacks),
            failures=dict(self._failures),
            quota=self.quota,
            rest_seconds=self._allowance.wait_seconds(counts=False),
            hosts=tuple(hosts),
        )

    def _breaker(self, host: URL) -> CircuitBreaker:
        if host not in self._breakers:
            # Only hosts with a closed breaker are forgotten. Forgetting an open breaker would send requests to a dead
            # host.
            well = [
                key for key, kept in self._breakers.items() if kept.state is BreakerState.CLOSED and key != self._base
            ]
            while len(self._breakers) >= _MOST_HOSTS and well:
                del self._breakers[well.pop(0)]
            self._breakers[host] = CircuitBreaker(self._policy.thresholds, self._clock)
        return self._breakers[host]

    def _require_available(self, url: URL, breaker: CircuitBreaker) -> None:
        if self._policy.offline:
            raise errors.UpstreamOffline(
                f"upstream {self._name} is configured as offline, so no request is sent", upstream=self._name
            )
        if (opening := breaker.opening) is not None:
            raise errors.CircuitOpen(
                f"upstream {self._name}: no requests to {url.origin()} since {machine_time(opening.since)} and "
                f"for {opening.seconds_left:.0f} s more, because its circuit breaker is open: {opening.why}",
                upstream=self._name,
                since=machine_time(opening.since),
                retry_after_seconds=round(opening.seconds_left, 1),
                status=opening.status,
            )

    async def _wait_for_turn(self, request: Request, url: URL, *, own: bool) -> None:
        asked_seconds = self._allowance.wait_seconds(counts=request.counts) if own else 0.0
        if asked_seconds > self._policy.retry.longest_delay_seconds:
            raise errors.UpstreamBusy(
                f"upstream {self._name}: {request.method} {redacted(url)} is not sent: "
                f"the upstream requested a pause, {asked_seconds:.0f} s are left",
                upstream=self._name,
                retry_after_seconds=round(asked_seconds, 1),
            )
        # Without the jitter, all waiting requests would be sent at the same moment.
        seconds = jittered(asked_seconds) + self._request_pace.charge(1)
        if seconds:
            self._paced_seconds += seconds
            await asyncio.sleep(seconds)

    async def _send(
        self, request: Request, url: URL, authorization: str | None, breaker: CircuitBreaker, *, own: bool
    ) -> Answer:
        headers = {**request.headers, **({} if authorization is None else {"Authorization": authorization})}
        asked = f"{request.method} {redacted(url)}"
        read_seconds = self._policy.timeouts.read_seconds
        outgoing = RequestBody(request.body, read_seconds)
        permit = breaker.admit()
        self._requests += 1
        try:
            async with outgoing.watched():
                response = await self._connections.request(request.method, url, headers, outgoing.data, own=own)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # The source of the body failed, not the host, so the breaker does not count a failure.
            if outgoing.error is not None:
                breaker.record_abandoned(permit)
                raise outgoing.error from None
            if isinstance(error, OSError) and error.errno in errors.TooManyOpenFiles.ERRNOS:
                breaker.record_abandoned(permit)  # the fault is on this side
                raise errors.TooManyOpenFiles.while_doing(f"connect to {url.host}") from error
            kind, what = connection_fault(error, ca_setting=self._connections.ca_setting, plain=url.scheme == "http")
            failure = self.error_for_request(asked, kind, what)
            if kind is errors.UpstreamUnreachable:
                self._record_failure(
                    breaker, permit, url, failure, at_once=isinstance(error, aiohttp.ConnectionTimeoutError)
                )
            else:  # the host did answer, though not correctly
                breaker.record_abandoned(permit)
            raise failure from error
        except errors.ConfigurationFault as error:
            breaker.record_abandoned(permit)
            raise self.error_for_request(asked, errors.UpstreamUnreachable, str(error)) from error
        except BaseException:
            breaker.record_abandoned(permit)
            raise
        _LOG.debug("upstream answered", upstream=self._name, asked=asked, status=response.status)
        if response.status in _GATEWAY_STATUSES:
            busy = errors.UpstreamBusy(f"{asked} answered {response.status}", status=response.status)
            self._record_failure(breaker, permit, url, busy)
        elif breaker.record_success():
            _LOG.info("upstream circuit breaker closed", upstream=self._name, host=str(url.origin()))
        leave = partial(self._slots.leave, bulk=request.bulk)
        received = partial(self._account_bytes, paced=request.bulk)
        return Answer(response, partial(self.error_for_request, asked), read_seconds, received, leave)

    def _record_failure(
        self, breaker: CircuitBreaker, permit: int, url: URL, error: errors.UpstreamFault, *, at_once: bool = False
    ) -> None:
        status = error.detail.get("status", "")
        if breaker.record_failure(permit, str(error), status=status, at_once=at_once):
            _LOG.warning(
                "upstream circuit breaker opened", upstream=self._name, host=str(url.origin()), error=str(error)
            )

    def _account_bytes(self, size_bytes: int, *, paced: bool) -> float:
        self._received_bytes += size_bytes
        seconds = self._byte_pace.charge(size_bytes)
        # Manifests and tokens count towards the bandwidth but do not wait for it.
        if not paced:
            return 0.0
        self._paced_seconds += seconds
        return seconds

    def _update_quota(self, request: Request, answer: Answer) -> None:
        quota = rate_limit.parse(answer.headers.get("ratelimit-limit"), answer.headers.get("ratelimit-remaining"))
        wanted = answer.headers.get("Retry-After") if answer.status in {429, 503} else None
        seconds = retry_after.parse(wanted, self._clock.now())
        self._allowance.update_quota(quota, seconds, counts=request.counts)


def jittered(seconds: float) -> float:
    """Add up to ten percent, so waiting requests do not all continue at the same moment."""
    return seconds * random.uniform(1.0, 1.1)  # noqa: S311 - spreads load, no secret
