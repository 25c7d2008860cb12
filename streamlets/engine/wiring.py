"""How a streamlet's ports are wired to topics in the log, the reserved ones included."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from pydantic import BaseModel

from blueprints.plan import Plan, PortRef, StreamletPlan, TopicPlan
from streamlets.component import Component
from streamlets.errors import Fatal
from streamlets.ports import Inlet, Outlet, Wiring
from streamlets.transports.transport import TopicSpec

STATUS = "status"


def outlet_topics(plan: Plan, streamlet: str, outlets: Iterable[Outlet]) -> dict[str, TopicPlan]:
    """Return port → topic of the connected outlets; an outlet `status` that is not connected has the reserved one.

    What became of a model update must be on record even where the blueprint connects nothing to it.
    """
    wired = plan.streamlets[streamlet].outlets
    found = {o.name: plan.topics[wired[o.name]] for o in outlets if o.name in wired}
    for outlet in outlets:
        if outlet.name == STATUS and STATUS not in wired:
            found[STATUS] = status_topic(plan)
    return found


def status_topic(plan: Plan) -> TopicPlan:
    """Return the reserved topic of status events, with no producer named: every streamlet may be one."""
    return TopicPlan(
        name=STATUS,
        log_name=plan.status_topic,
        producers=(),
        consumers=(),
        partitions=1,
        mark=plan.dead_letters.mark,
        retention_s=plan.dead_letters.retention_s,
    )


def wanted_topics(plan: Plan, there: Collection[str]) -> list[tuple[TopicSpec, TopicPlan | None]]:
    """Return what a start makes, or finds as it is: each topic in the log with that of the plan, None for our own.

    External topics that are there are left out: what others made is theirs to set.
    """
    wanted: list[tuple[TopicSpec, TopicPlan | None]] = [
        (spec_of(topic), topic)
        for topic in (*plan.topics.values(), plan.dead_letters)
        if not (topic.inline or (topic.external and topic.log_name in there))
    ]
    wanted.append((TopicSpec(name=plan.workers_topic, compacted=True), None))
    wanted.append((spec_of(status_topic(plan)), None))
    return wanted


def spec_of(topic: TopicPlan) -> TopicSpec:
    """Return a topic of the plan as the log should have it."""
    return TopicSpec(
        name=topic.log_name,
        partitions=topic.partitions,
        compacted=topic.compacted,
        retention_s=topic.retention_s,
        max_bytes=topic.max_bytes,
        replication=topic.replication,
        config=dict(topic.config),
    )


def unreadable(
    plan: Plan,
    streamlet: StreamletPlan,
    component: Component,
    partitions: Mapping[str, int],
    options: BaseModel | None = None,
) -> Fatal | None:
    """Return why the streamlet cannot read the partitions that there are in the log, by the topics' names there.

    Of topics that others made the linter knows what the blueprint says of them, which may be nothing, or wrong.
    `options`: the streamlet's, where somebody has loaded them.
    """
    options = options or component.load(streamlet.options, plan.base_dir)
    streams = stream_topics(plan, streamlet.name, component.ports(options)[0])
    counts = {port: partitions[topic.log_name] for port, topic in streams.items()}
    told = " and ".join(f"{counts[port]} of {topic.log_name}" for port, topic in streams.items())
    if len(set(counts.values())) > 1:
        return Fatal(
            f"{streamlet.name} reads different numbers of partitions, {told}",
            code="partitions-differ",
            hint="give them as many of each",
            exit_code=64,
        )
    if max(counts.values(), default=1) > 1:
        wiring = Wiring(partitions=counts, replicas=streamlet.replicas, base_dir=plan.base_dir)
        if why := component.needs(options, wiring).single_reader:
            needs = f"{streamlet.name} needs one reader of all events, not the partitions that there are"
            return Fatal(f"{needs}, {told}: {why}", code="single-reader", exit_code=64)
    return None


def stream_topics(plan: Plan, streamlet: str, inlets: Iterable[Inlet]) -> dict[str, TopicPlan]:
    """Return inlet → topic of the connected stream inlets."""
    wired = plan.streamlets[streamlet].inlets
    return {i.name: plan.topics[wired[i.name]] for i in inlets if i.kind == "stream" and i.name in wired}


def state_scopes(inlets: Iterable[Inlet]) -> dict[str, str]:
    """Return stream inlet → the scope of its state: none for the first declared, connected or not, else its name.

    So a streamlet that gets a second inlet goes on with the state of its first.
    """
    streams = [inlet.name for inlet in inlets if inlet.kind == "stream"]
    return {name: "" if name == streams[0] else name for name in streams}


def producers(plan: Plan, outlets: dict[str, Iterable[Outlet]]) -> dict[str, tuple[TopicPlan, list[PortRef]]]:
    """Return topic in the log → (topic, who writes to it), the reserved status topic included."""
    found: dict[str, tuple[TopicPlan, list[PortRef]]] = {}
    for streamlet, ports in outlets.items():
        for port, topic in outlet_topics(plan, streamlet, ports).items():
            found.setdefault(topic.log_name, (topic, []))[1].append(PortRef(streamlet, port))
    return found
