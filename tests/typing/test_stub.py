"""What ``stubtest`` cannot compare: the members of enums, and what the stub promises in words."""

import ast
import pickle

import pytest

import source_tree
from slipstream import _core

_BODY = ast.parse((source_tree.PACKAGE / "_core.pyi").read_text(encoding="utf-8")).body
_CLASSES = [node for node in _BODY if isinstance(node, ast.ClassDef)]


def _is_enum(node: ast.ClassDef) -> bool:
    return any(isinstance(base, ast.Name) and base.id == "Enum" for base in node.bases)


_ENUMS = [node for node in _CLASSES if _is_enum(node)]


def _members(node: ast.ClassDef) -> dict[str, int]:
    return {
        target.id: ast.literal_eval(line.value)
        for line in node.body
        if isinstance(line, ast.Assign)
        for target in line.targets
        if isinstance(target, ast.Name)
    }


@pytest.mark.parametrize("node", _ENUMS, ids=lambda node: node.name)
def test_enum_members_are_those_of_the_stub(node: ast.ClassDef) -> None:
    kind = getattr(_core, node.name)
    members = {name: member for name, member in vars(kind).items() if isinstance(member, kind)}
    assert {name: int(member) for name, member in members.items()} == _members(node)


@pytest.mark.parametrize("node", _ENUMS, ids=lambda node: node.name)
def test_enum_members_are_singletons(node: ast.ClassDef) -> None:
    kind = getattr(_core, node.name)
    for name in _members(node):
        member = getattr(kind, name)
        assert pickle.loads(pickle.dumps(member)) is member
        assert {member: name}[getattr(kind, name)] == name


@pytest.mark.parametrize("node", _CLASSES, ids=lambda node: node.name)
def test_classes_say_where_they_live(node: ast.ClassDef) -> None:
    assert getattr(_core, node.name).__module__ == "slipstream._core"


def test_the_root_of_all_errors_is_the_core_s() -> None:
    errors = [node.name for node in _CLASSES if node.name.endswith("Error")]
    assert len(errors) > 1
    assert all(issubclass(getattr(_core, name), _core.SlipstreamError) for name in errors)


@pytest.mark.parametrize(
    "kind",
    [_core.BookView, _core.CohortPlan, _core.FillEstimate, _core.OrderPlan, _core.Skip],
    ids=lambda kind: kind.__name__,
)
def test_results_are_made_by_the_core_alone(kind: type) -> None:
    with pytest.raises(TypeError):
        kind()


def test_the_build_says_what_it_is() -> None:
    build = _core.build_info()
    assert set(build) == {"profile", "rustc", "target", "version"}
    assert build["version"] == _core.__version__
    assert build["rustc"].startswith("rustc ")
    assert build["profile"] in {"debug", "release"}
