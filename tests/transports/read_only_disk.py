"""What a log on a read-only disk is good for.

`python -m tests.transports.read_only_disk FOLDER`, with a log in it that has one event in `t`.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from streamlets.errors import Fatal
from streamlets.suites.transport import event, values
from streamlets.transports.transport import TopicPartition
from tests.transports.embedded_place import EmbeddedPlace


async def main(disk: Path) -> None:
    place = EmbeddedPlace(disk)
    with pytest.raises(Fatal) as refused:
        await place.transport().start()
    assert refused.value.code in ("log-read-only", "log-cannot-open")
    assert str(place.path) in refused.value.message
    client = place.transport("client")
    await client.start()
    assert values(await client.read(TopicPartition("t", 0), 0, 10)) == ["kept"]
    with pytest.raises(Fatal) as refused:
        await client.append([event("t", "no")])
    assert refused.value.code == "log-read-only"
    await client.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
