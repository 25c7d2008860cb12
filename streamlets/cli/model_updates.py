"""A scoring streamlet as a client of its application sees it: its updates, what became of them, what is in force.

What is in force is read from the workers' own small state, and what was decided from the status topic: there is no
second book to be kept in step.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from streamlets.cli.application import components
from streamlets.cli.main import USAGE_EXIT
from streamlets.errors import Fatal, Rejected

if TYPE_CHECKING:
    from blueprints.plan import Plan
    from streamlets.builtin.scoring.serving import Serving
    from streamlets.builtin.scoring.updater import Known
    from streamlets.builtin.updates import Status
    from streamlets.event import Event
    from streamlets.transports.transport import Transport

READ_EVENTS = 1_000
POLL_S = 0.2  # how often the status topic is looked at while waiting: a deploy takes seconds


class Scoring:
    """One scoring streamlet of a plan, with its topics in the log."""

    def __init__(self, plan: Plan, streamlet: str, updates: str, status: str) -> None:
        from streamlets.builtin.scoring.options import ScoreOptions
        from streamlets.builtin.scoring.serving import Places

        self.plan = plan
        self.streamlet = streamlet
        self.updates = updates
        self.status = status
        self.options = ScoreOptions.model_validate(dict(plan.streamlets[streamlet].options))
        self.model = self.options.model
        self.blueprint: Serving = Places(self.options, plan.base_dir).initial()

    @staticmethod
    def of(plan: Plan, streamlet: str | None) -> Scoring:
        """Return the streamlet that is meant. Raises: Fatal (64) where there is none, or more than one."""
        from streamlets.engine.wiring import outlet_topics

        found = [name for name, s in plan.streamlets.items() if s.use == "score" and "updates" in s.inlets]
        if streamlet is not None and streamlet not in plan.streamlets:
            raise Fatal(
                f"there is no streamlet {streamlet!r}", code="unknown-streamlet", exit_code=USAGE_EXIT
            )
        chosen = [streamlet] if streamlet in found else [] if streamlet else found
        if len(chosen) != 1:
            raise Fatal(
                "no scoring streamlet has its inlet 'updates' connected"
                if not chosen
                else f"{', '.join(found)} can be updated",
                code="no-updates" if not chosen else "ambiguous-streamlet",
                hint="connect a compacted topic to it" if not chosen else "choose by --streamlet",
                exit_code=USAGE_EXIT,
            )
        name = str(chosen[0])
        use = plan.streamlets[name].use
        component = components(plan)(use)
        _, outlets = component.ports(component.load(plan.streamlets[name].options, plan.base_dir))
        status = outlet_topics(plan, name, outlets)["status"].log_name
        return Scoring(plan, name, plan.topics[plan.streamlets[name].inlets["updates"]].log_name, status)

    # --- what is there

    async def events(self, transport: Transport) -> dict[str, Event]:
        """Return this model's updates that are in the topic, by key."""
        from streamlets.builtin.updates import model_of
        from streamlets.event import decode

        found: dict[str, Event] = {}
        for delivery in await _all(transport, self.updates):
            key = (delivery.key or b"").decode(errors="replace")
            found.pop(key, None)
            if delivery.value is None:
                continue
            try:
                event = decode(delivery)
            except Rejected:
                continue
            if model_of(event) in (None, self.model):
                found[key] = event
        return found

    async def in_force(self, transport: Transport) -> tuple[dict[int, Serving], Known]:
        """Return what each partition is scored with, and what is known of updates, as the small state has it."""
        from streamlets.builtin.score import SERVING
        from streamlets.builtin.scoring.serving import Serving
        from streamlets.builtin.scoring.updater import KNOWN, Known
        from streamlets.engine.state import restore
        from streamlets.transports.transport import TopicPartition

        servings: dict[int, Serving] = {}
        known = Known()
        topic = self.plan.state_topic(self.streamlet)
        for partition in sorted(await transport.offsets(topic)) if topic in await transport.topics() else ():
            state, row = await restore(transport, TopicPartition(topic, partition))
            if row is None:
                continue
            found = state.get(SERVING)
            servings[partition] = self.blueprint if found is None else Serving.from_state(found)
            here = Known.from_state(state.get(KNOWN))
            known.verdicts.update(here.verdicts)
            if here.accepted and (known.accepted is None or here.accepted.epoch > known.accepted.epoch):
                known.accepted = here.accepted
        return servings, known

    async def rows(self, transport: Transport) -> list[dict[str, Any]]:
        """Return the blueprint's serving and every update, the oldest epoch first."""
        servings, known = await self.in_force(transport)
        reasons = {s.update: s.reason for s in await self.statuses(transport) if s.step == "rejected"}
        rows = [self._row(self.blueprint, None, "blueprint", servings)]
        seen: set[str | None] = set()
        for event in (await self.events(transport)).values():
            serving, problem = self._serving(event)
            verdict = known.verdicts.get(event.id)
            state = "received" if verdict is None else verdict.verdict
            rows.append(self._row(serving, event.id, state, servings, reasons.get(event.id) or problem))
            seen.add(event.id)
        for serving in {*servings.values(), *([known.accepted] if known.accepted else [])}:
            if (
                serving.epoch and serving.update not in seen
            ):  # its update was compacted away; the state has it still
                rows.append(self._row(serving, serving.update, "validated", servings))
        current = max((row for row in rows if row["state"] != "rejected"), key=lambda r: r["epoch"])
        for row in rows:
            if row["state"] in ("validated", "blueprint") and row["partitions"]:
                row["state"] = "serving"
            elif row["state"] == "validated" and row is not current:
                row["state"] = "superseded"
        return sorted(rows, key=lambda row: row["epoch"])

    def _serving(self, event: Event) -> tuple[Serving, str | None]:
        from streamlets.builtin.scoring.serving import Serving
        from streamlets.builtin.updates import read_update

        try:
            return Serving.of(read_update(event), event.id, self.options.protocol), None
        except Rejected as exc:
            return Serving(0, self.model, None, self.options.protocol, (), event.id), str(exc)

    def _row(
        self,
        serving: Serving,
        update: str | None,
        state: str,
        servings: Mapping[int, Serving],
        reason: str | None = None,
    ) -> dict[str, Any]:
        from streamlets.builtin.updates import shown

        return {
            "epoch": serving.epoch,
            "model": serving.model,
            "version": serving.version,
            "state": state,
            "partitions": [p for p, s in servings.items() if (s.epoch, s.update) == (serving.epoch, update)],
            "servers": [shown(place.url) for place in serving.servers],
            "update": update,
            "reason": reason if state == "rejected" else None,
        }

    async def statuses(self, transport: Transport, since: Mapping[int, int] | None = None) -> list[Status]:
        """Return the status events about this model's updates, from the offsets `since` on."""
        from streamlets.builtin.updates import STATUS_TYPE, Status

        found = []
        for delivery in await _all(transport, self.status, since):
            if delivery.header("ce_type") == STATUS_TYPE and delivery.header("ce_subject") == self.model:
                found.append(msgspec.json.decode(delivery.value or b"", type=Status))
        return found

    # --- what is to be

    async def next_epoch(self, transport: Transport) -> int:
        """Return an epoch above all that are there."""
        servings, known = await self.in_force(transport)
        epochs = [s.epoch for s in servings.values()] + [v.epoch for v in known.verdicts.values()]
        epochs += [self._serving(event)[0].epoch for event in (await self.events(transport)).values()]
        return max(epochs, default=0) + 1

    async def before(self, transport: Transport, version: str | None) -> dict[str, Any]:
        """Return the update that leads back: to `version`, or to what was accepted before the present one.

        Raises: Fatal where there is nothing to go back to.
        """
        from streamlets.builtin.scoring.updater import VALIDATED
        from streamlets.builtin.updates import read_update

        servings, known = await self.in_force(transport)
        present = max([*servings.values(), known.accepted or self.blueprint], key=lambda s: s.epoch)
        accepted = [
            read_update(event)
            for event in (await self.events(transport)).values()
            if (verdict := known.verdicts.get(event.id)) is not None and verdict.verdict == VALIDATED
        ]
        earlier = [u for u in accepted if u.epoch < present.epoch and (version or u.version) == u.version]
        epoch = await self.next_epoch(transport)
        if earlier:
            chosen = max(earlier, key=lambda u: u.epoch)
            return {**msgspec.to_builtins(chosen), "epoch": epoch}
        if present.epoch == 0:
            raise Fatal(
                f"{self.model} is served as the blueprint says: there is nothing before it", code="no-version"
            )
        found = self.blueprint.version or await self._blueprints_version()
        if version is not None and version != found:
            raise Fatal(
                f"no update to {self.model}@{version} was accepted before epoch {present.epoch}",
                code="no-version",
                hint="see `streamlets models list`, or deploy it",
            )
        servers = [msgspec.to_builtins(place) for place in self.blueprint.servers]
        return {"model": self.model, "version": found, "servers": servers, "epoch": epoch}

    async def _blueprints_version(self) -> str:
        """Return the version that the blueprint's first server serves. Raises: what the server's client raises."""
        from streamlets.builtin.scoring.serving import Places
        from streamlets.servers.protocols import open_server

        server = open_server(self.options.protocol, Places(self.options, self.plan.base_dir).blueprint()[0])
        try:
            metadata = await server.metadata(self.model, None)
        finally:
            await server.close()
        if metadata is None or len(metadata.versions) != 1:
            raise Fatal(
                "the blueprint's server does not say which version it serves",
                code="no-version",
                hint="write `version` in the blueprint, or deploy the version by its name",
            )
        return metadata.versions[0]

    async def publish(self, transport: Transport, data: Mapping[str, Any], waits_s: float | None) -> Status:
        """Append an update and return what became of it; with `waits_s` None, that it was sent.

        Raises: Fatal for data that are no update.
        """
        import uuid

        from streamlets.builtin.updates import Status, Update, read_update, update_event
        from streamlets.engine.clock import SystemClock
        from streamlets.event import Record, encode, timestamp
        from streamlets.transports.transport import partition_for

        clock = SystemClock()
        given = {name: value for name, value in data.items() if value not in (None, [], {})}
        try:
            update: Update = msgspec.convert(given, Update)
            now = timestamp(clock.now_s())
            if any("@" in place.url.partition("//")[2].partition("/")[0] for place in update.places()):
                raise Rejected(
                    "a server's URL holds credentials; they belong under `headers` in the blueprint",
                    code="bad-update",
                )
            event = update_event(update, f"/{self.plan.name}/models", uuid.uuid4().hex, now)
            read_update(event)
        except (msgspec.ValidationError, Rejected) as exc:
            raise Fatal(f"no update can be made of this: {exc}", code="bad-update") from exc
        since = {p: end for p, (_, end) in (await transport.offsets(self.status)).items()}
        partitions = len(await transport.offsets(self.updates))
        key, value, headers = encode(event)
        partition = partition_for(key, partitions)
        await transport.append(
            [Record(self.updates, partition, key, value, headers, int(clock.now_s() * 1000))]
        )
        sent = Status(
            step="sent",
            update=event.id,
            model=update.model,
            version=update.version,
            epoch=update.epoch,
            servers=update.urls(),
        )
        if waits_s is None:
            return sent
        deadline_s = clock.monotonic_s() + waits_s
        while clock.monotonic_s() < deadline_s:
            for status in await self.statuses(transport, since):
                if status.update == event.id and status.step in ("validated", "rejected"):
                    return status
            await transport.wait(POLL_S)
        return msgspec.structs.replace(sent, step="undecided")


async def _all(transport: Transport, topic: str, since: Mapping[int, int] | None = None) -> list[Any]:
    """Return the records of a topic, partition by partition, from the offsets `since` on."""
    from streamlets.transports.transport import TopicPartition

    found: list[Any] = []
    if topic not in await transport.topics():
        return found
    for partition, (first, end) in sorted((await transport.offsets(topic)).items()):
        position = max(first, (since or {}).get(partition, first))
        while position < end:
            deliveries = await transport.read(TopicPartition(topic, partition), position, READ_EVENTS, end)
            if not deliveries:
                break
            found += deliveries
            position = deliveries[-1].offset + 1
    return found
