"""What the session line tells of followers and their mirrors."""

from slipstream.config.model import (
    Caps,
    Config,
    EngineConfig,
    FollowerConfig,
    LeaderConfig,
    MirrorConfig,
    MirrorMode,
    RunMode,
)
from slipstream.runtime.session import session_payload
from slipstream.units import SCALE

NO_CAPS = Caps(
    order=None, symbol=None, total=None, positions=None, daily_loss=None, drawdown_ppm=None
)


def mirror(leader: str, ratio: int) -> MirrorConfig:
    return MirrorConfig(
        leader=leader, mode=MirrorMode.RATIO, ratio=ratio * SCALE, caps=NO_CAPS, max_leverage=10
    )


def test_every_mirror_of_a_follower_is_told() -> None:
    mirrors = (mirror("alpha", 1), mirror("beta", 2))
    config = Config(
        engine=EngineConfig(),
        leaders=tuple(LeaderConfig(name, "aster", "0xAB", name) for name in ("alpha", "beta")),
        followers=(FollowerConfig("f", "aster", "0xCD", "f", RunMode.LIVE, mirrors=mirrors),),
    )
    told = session_payload(config, {})
    followers = told["followers"]
    assert isinstance(followers, dict)
    assert followers["f"]["account"] == "0xcd"
    ratios = {name: each["sizing"]["ratio"] for name, each in followers["f"]["mirrors"].items()}
    assert ratios == {"alpha": "1", "beta": "2"}
