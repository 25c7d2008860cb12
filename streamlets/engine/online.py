"""`verify --online`: what the linter cannot know, asked of those who do: model servers, and the log.

Nothing is changed: no topic is made, no group joined, no model called. Servers are asked by the streamlets that will
call them (`check_online`), side by side, so that it takes as long as the slowest of them; the log is compared with
what a start would make in it. What is added is added at its place in the file, beside what the linter found.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from blueprints.catalog import OptionProblem
from blueprints.load import Checked
from blueprints.plan import Plan, TopicPlan
from streamlets.component import Component
from streamlets.engine.wiring import spec_of, stream_topics, unreadable, wanted_topics
from streamlets.errors import StreamletsError
from streamlets.inference import OpenServer
from streamlets.ports import Reach
from streamlets.transports.transport import TopicSpec, differences, differs

GRACE_S = 1.0  # for a streamlet to sum up, beyond what those whom it asks may take

_FIELDS = {
    "partitions": "partitions",
    "compacted": "compacted",
    "retention_s": "retention",
    "max_bytes": "max-bytes",
}
"""Field of a topic in the log → the blueprint's."""

Components = Callable[[str], Component]


async def ask_servers(
    checked: Checked, components: Components, open_server: OpenServer, within_s: float
) -> None:
    """Add what those say whom the streamlets will call. A streamlet with an error of its own is not asked."""
    await asyncio.gather(
        *(
            _ask(
                checked,
                name,
                components(use),
                values,
                Reach(
                    base_dir=checked.base_dir,
                    open_server=open_server,
                    within_s=within_s,
                    contracts=checked.contracts(name),
                ),
            )
            for name, (use, values) in checked.sound().items()
        )
    )


async def _ask(
    checked: Checked, name: str, component: Component, values: Mapping[str, Any], reach: Reach
) -> None:
    try:
        async with asyncio.timeout(reach.within_s + GRACE_S):
            options = component.load(values, reach.base_dir)
            findings = await component.check_online(options, reach)
    except TimeoutError:
        checked.add_of_streamlet(
            name,
            "use",
            "server-unreachable",
            f"{name}: whom it calls did not answer within {reach.within_s:g} s",
        )
    except StreamletsError as exc:
        checked.add_of_streamlet(name, "use", "server-unreachable", f"{name}: {exc}")
    except Exception as exc:  # noqa: BLE001 - the streamlet may be anybody's; its text may hold an option's value
        message = f"'{component.name}' fails when it is asked whom it calls: {type(exc).__name__}"
        checked.add_of_streamlet(name, "use", "not-a-streamlet", message)
    else:
        for one in findings:
            checked.add_of_option(name, OptionProblem(one.path, one.code, one.message, one.severity))


def compare_log(checked: Checked, components: Components, there: Mapping[str, TopicSpec], where: str) -> None:
    """Add how the topics that are there differ from those of the plan; `where` names the log."""
    plan = checked.plan
    assert plan is not None
    partitions = {name: spec.partitions for name, spec in there.items()}
    for spec, topic in wanted_topics(plan, there):
        if spec.name in there:
            _compare(checked, plan, spec, topic, there[spec.name])
        partitions.setdefault(spec.name, spec.partitions)
    for topic in plan.topics.values():
        if topic.external:
            _compare_external(checked, topic, there.get(topic.log_name), where)
    for name, streamlet in plan.streamlets.items():
        component = components(streamlet.use)
        if component.is_source:
            continue
        if (why := unreadable(plan, streamlet, component, partitions)) is not None:
            checked.add_of_streamlet(name, "use", why.code, str(why))
        _compare_state(checked, plan, name, component, there, partitions)


def _compare(
    checked: Checked, plan: Plan, spec: TopicSpec, topic: TopicPlan | None, there: TopicSpec
) -> None:
    for name, how in differences(spec, there).items():
        message = str(differs(spec.name, [how]))
        checked.add_of_topic(
            "dead-letters" if topic is None else topic.name, _FIELDS[name], "topic-differs", message
        )


def _compare_external(checked: Checked, topic: TopicPlan, there: TopicSpec | None, where: str) -> None:
    """Add what a start takes as it is, and its author should know."""
    if there is None:
        if not topic.producers:
            count = f"{topic.partitions} partition{'s' * (topic.partitions != 1)}"
            message = (
                f"nobody has made the external topic '{topic.log_name}' in {where} yet; who runs first and names it "
                f"makes it, this application with {count}, and it is empty until others fill it"
            )
            checked.add_of_topic(topic.name, "topic", "topic-missing", message, "warning")
        return
    for name, how in differences(spec_of(topic), there).items():
        if checked.says(topic.name, _FIELDS[name]):
            message = (
                f"the external topic '{topic.log_name}' in {where} is otherwise: {how}; it is taken as it is"
            )
            checked.add_of_topic(topic.name, _FIELDS[name], "topic-differs", message, "warning")


def _compare_state(
    checked: Checked,
    plan: Plan,
    name: str,
    component: Component,
    there: Mapping[str, TopicSpec],
    partitions: Mapping[str, int],
) -> None:
    """Add where a streamlet's state has other partitions than what it reads, as after an external topic has grown.

    A source's splits are known to a running source only, so its state is left to the start.
    """
    state = there.get(plan.state_topic(name))
    if state is None:
        return
    inlets, _ = component.ports(component.load(plan.streamlets[name].options, plan.base_dir))
    topics = stream_topics(plan, name, inlets).values()
    if any(
        t.log_name in there and there[t.log_name].partitions != t.partitions and not t.external
        for t in topics
    ):
        return  # that difference has been told, and this one follows from it
    wanted = TopicSpec(
        name=plan.state_topic(name),
        partitions=max((partitions[topic.log_name] for topic in topics), default=1),
        compacted=True,
    )
    for how in differences(wanted, state).values():
        checked.add_of_streamlet(name, "use", "topic-differs", f"{name}: {differs(wanted.name, [how])}")
