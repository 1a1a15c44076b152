"""Struct layouts, variables and function types as the compiler laid them out: its DWARF."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from nooks_lab.toolchain.dwarf import children_by_offset, reading_dwarf
from nooks_lab.toolchain.elf import ElfError, ObjectFile

Kind = Literal["int", "uint", "bool", "pointer", "array", "struct", "union", "enum", "function", "void"]

_QUALIFIERS = {"DW_TAG_const_type", "DW_TAG_volatile_type", "DW_TAG_restrict_type", "DW_TAG_atomic_type"}
_RECORDS: dict[str, Kind] = {"DW_TAG_structure_type": "struct", "DW_TAG_union_type": "union"}
# DW_AT_encoding (DWARF 4, section 7.8): boolean, signed, signed char, unsigned, unsigned char.
_ENCODINGS: dict[int, Kind] = {2: "bool", 5: "int", 6: "int", 7: "uint", 8: "uint"}


@dataclass(frozen=True)
class CType:
    """A C type with typedefs and qualifiers taken off.

    name: as C spells it; size: bytes (0 for void, a function and a struct that is only declared).
    target: what a pointer points to (None for void *) or the element of an array; count: of the array.
    struct: the name of a struct or union, whose fields are in Layouts.structs.
    function: the type of a function.
    """

    kind: Kind
    name: str
    size: int
    target: "CType | None" = None
    count: int = 0
    struct: str | None = None
    function: "FunctionType | None" = None

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class FunctionType:
    """What a function takes and gives. A parameter whose name is not known is called arg0, arg1, ..."""

    result: CType
    params: tuple[tuple[str, CType], ...]
    variadic: bool


@dataclass(frozen=True)
class Field:
    """A member of a struct; offset in bytes (of a bit-field: that of its storage unit)."""

    name: str
    offset: int
    type: CType


@dataclass(frozen=True)
class StructLayout:
    """A struct or union; size in bytes. The members of anonymous members stand among the fields."""

    name: str
    size: int
    fields: dict[str, Field]
    is_union: bool


@dataclass(frozen=True)
class Variable:
    """A global variable."""

    name: str
    type: CType


@dataclass(frozen=True)
class Layouts:
    """All that one object's debug information describes, by name; enums holds the enumerators' values."""

    structs: dict[str, StructLayout] = field(default_factory=dict)
    variables: dict[str, Variable] = field(default_factory=dict)
    functions: dict[str, FunctionType] = field(default_factory=dict)
    typedefs: dict[str, CType] = field(default_factory=dict)
    enums: dict[str, int] = field(default_factory=dict)


VOID = CType("void", "void", 0)


def pointer_to(target: CType) -> CType:
    """The type of a pointer to something; VOID makes void *."""
    return CType("pointer", _spell(target, "*"), 4, None if target.kind == "void" else target)


def array_of(element: CType, count: int) -> CType:
    """The type of an array."""
    return CType("array", _spell(element, f"[{count}]"), element.size * count, element, count)


def function_ctype(function: FunctionType) -> CType:
    """The type of a function, as the target of a pointer to it."""
    return CType("function", _spell(function.result, _spell_params(function)), 0, function=function)


def spell_declaration(ctype: CType, name: str) -> str:
    """Write the declaration of something of a type, as C does: ``int (*handler)(int)``."""
    return _spell(ctype, name)


def place_in(layouts: Layouts, ctype: CType, offset: int) -> str:
    """Name what lies at an offset in something of a type: '.resource[1].start'; '' in what has no members.

    Of a union the first member that reaches there; the elements of an array are told apart if they are structs.
    """
    if ctype.kind == "array" and ctype.target and ctype.target.struct:
        index, offset = divmod(offset, ctype.target.size)
        return f"[{index}]{place_in(layouts, ctype.target, offset)}"
    layout = layouts.structs.get(ctype.struct or "")
    for each in layout.fields.values() if layout else ():
        if each.offset <= offset < each.offset + each.type.size:
            return f".{each.name}{place_in(layouts, each.type, offset - each.offset)}"
    return ""


def _spell(ctype: CType, declarator: str) -> str:
    """Write a type around a declarator, from the inside out as C does."""
    if ctype.kind == "pointer":
        return _spell(ctype.target or VOID, f"*{declarator}")
    if ctype.kind in ("array", "function") and declarator.startswith("*"):
        declarator = f"({declarator})"
    if ctype.kind == "array" and ctype.target:
        return _spell(ctype.target, f"{declarator}[{ctype.count}]")
    if ctype.function:
        return _spell(ctype.function.result, declarator + _spell_params(ctype.function))
    return ctype.name + ("" if declarator.startswith("[") else " ") + declarator


def _spell_params(function: FunctionType) -> str:
    params = [each.name for _, each in function.params] + ["..."] * function.variadic
    return f"({', '.join(params) or 'void'})"


def read_layouts(obj: ObjectFile) -> Layouts:
    """Read the debug information of an object that our compiler made (-g).

    A struct without a tag takes its typedef's name, or 'outer.member' after the member whose type it is.
    Raises ElfError if there is none or it is damaged.
    """
    layouts = Layouts()
    with reading_dwarf(obj.data, obj.name) as dwarf:
        if dwarf is None:
            raise ElfError(f"{obj.name}: it has no debug information.")
        for unit in dwarf.iter_CUs():
            _UnitReader(layouts, obj.name, children_by_offset(unit)).read(unit)
    return layouts


class _UnitReader:
    """Reads one compilation unit into layouts."""

    def __init__(self, layouts: Layouts, name: str, children: dict[int, list[Any]]) -> None:
        self.layouts = layouts
        self.name = name
        self.children = children
        self.types: dict[int, CType] = {}
        self.record_names: dict[int, str] = {}

    def read(self, unit: Any) -> None:
        top = self.children[unit.cu_die_offset]
        for die in top:
            if die.tag == "DW_TAG_typedef" and "DW_AT_type" in die.attributes:
                self._name_record(_referred(die), _name(die))
        for die in top:
            if die.tag == "DW_TAG_variable":
                self._name_record(_innermost(die), _name(die))
            elif self._record_name(die):
                self._name_members(die, self._record_name(die))
        for die in top:
            if die.tag in _RECORDS:
                self._record(die)
            elif die.tag == "DW_TAG_enumeration_type":
                self._enumerators(die)
            elif die.tag == "DW_TAG_typedef":
                self.layouts.typedefs[_name(die)] = self._type_of(die)
            elif die.tag == "DW_TAG_variable" and "DW_AT_name" in die.attributes:
                self.layouts.variables[_name(die)] = Variable(_name(die), self._type_of(die))
            elif die.tag == "DW_TAG_subprogram" and "DW_AT_name" in die.attributes:
                self.layouts.functions[_name(die)] = self._function(die)

    def _name_record(self, die: Any, name: str) -> None:
        """Names a struct without a tag after whatever is of that type."""
        if die.tag in _RECORDS and name and not self._record_name(die):
            self.record_names[die.offset] = name
            self._name_members(die, name)

    def _name_members(self, die: Any, outer: str) -> None:
        if die.tag not in _RECORDS:
            return
        for member in self.children.get(die.offset, ()):
            if member.tag == "DW_TAG_member" and _name(member):
                self._name_record(_innermost(member), f"{outer}.{_name(member)}")
            elif member.tag == "DW_TAG_member":
                self._name_members(_innermost(member), outer)

    def _record(self, die: Any) -> None:
        """Notes a struct's layout, and those of the structs that are declared within it."""
        name = self._record_name(die)
        if not name or "DW_AT_declaration" in die.attributes:
            return
        fields = {each.name: each for each in self._fields(die, 0)}
        size = _number(die, "DW_AT_byte_size")
        self.layouts.structs[name] = StructLayout(name, size, fields, die.tag == "DW_TAG_union_type")
        for child in self.children.get(die.offset, ()):
            if child.tag in _RECORDS:
                self._record(child)
            elif child.tag == "DW_TAG_enumeration_type":
                self._enumerators(child)

    def _fields(self, die: Any, base: int) -> Iterator[Field]:
        for member in self.children.get(die.offset, ()):
            if member.tag != "DW_TAG_member":
                continue
            offset = base + self._member_offset(member)
            if _name(member):
                yield Field(_name(member), offset, self._type_of(member))
            else:
                yield from self._fields(_innermost(member), offset)

    def _member_offset(self, member: Any) -> int:
        if "DW_AT_data_bit_offset" in member.attributes:
            unit = self._type_of(member).size
            return _number(member, "DW_AT_data_bit_offset") // 8 // unit * unit
        return _number(member, "DW_AT_data_member_location")

    def _record_name(self, die: Any) -> str:
        return _name(die) or self.record_names.get(die.offset, "")

    def _enumerators(self, die: Any) -> None:
        for child in self.children.get(die.offset, ()):
            if child.tag == "DW_TAG_enumerator":
                self.layouts.enums[_name(child)] = _number(child, "DW_AT_const_value")

    def _function(self, die: Any) -> FunctionType:
        params: list[tuple[str, CType]] = []
        variadic = False
        for child in self.children.get(die.offset, ()):
            if child.tag == "DW_TAG_formal_parameter":
                params.append((_name(child) or f"arg{len(params)}", self._type_of(child)))
            variadic = variadic or child.tag == "DW_TAG_unspecified_parameters"
        return FunctionType(self._type_of(die), tuple(params), variadic)

    def _type_of(self, die: Any) -> CType:
        """The type that an entry refers to; void if it refers to none."""
        if "DW_AT_type" not in die.attributes:
            return VOID
        target = _referred(die)
        known = self.types.get(target.offset)
        if known is None:
            known = self.types[target.offset] = self._type(target)
        return known

    def _type(self, die: Any) -> CType:
        tag = die.tag
        if tag in _QUALIFIERS or tag == "DW_TAG_typedef":
            return self._type_of(die)
        if tag == "DW_TAG_base_type":
            encoding = _number(die, "DW_AT_encoding")
            if encoding not in _ENCODINGS:
                raise ElfError(f"{self.name}: the kernel has no use for the type {_name(die)}.")
            return CType(_ENCODINGS[encoding], _name(die), _number(die, "DW_AT_byte_size"))
        if tag == "DW_TAG_pointer_type":
            return pointer_to(self._type_of(die))
        if tag == "DW_TAG_array_type":
            return self._array(die)
        if tag in _RECORDS:
            name = self._record_name(die)
            # A typedef's name stands without the word struct in C.
            spelled = f"{_RECORDS[tag]} {name}" if _name(die) else name
            return CType(_RECORDS[tag], spelled, _number(die, "DW_AT_byte_size"), struct=name)
        if tag == "DW_TAG_enumeration_type":
            return CType("enum", f"enum {_name(die)}".rstrip(), _number(die, "DW_AT_byte_size"))
        if tag == "DW_TAG_subroutine_type":
            return function_ctype(self._function(die))
        raise ElfError(f"{self.name}: its debug information has a type of the unknown sort {tag}.")

    def _array(self, die: Any) -> CType:
        built = self._type_of(die)
        ranges = [child for child in self.children.get(die.offset, ()) if child.tag == "DW_TAG_subrange_type"]
        for each in reversed(ranges):
            # A flexible array member has no count.
            built = array_of(built, _number(each, "DW_AT_count"))
        return built


def _name(die: Any) -> str:
    attribute = die.attributes.get("DW_AT_name")
    return attribute.value.decode() if attribute else ""


def _number(die: Any, attribute: str) -> int:
    """An attribute's number, 0 if there is none."""
    found = die.attributes.get(attribute)
    return int(found.value) if found else 0


def _referred(die: Any) -> Any:
    return die.get_DIE_from_attribute("DW_AT_type")


def _innermost(die: Any) -> Any:
    """The entry of what a variable or member is made of: arrays, pointers and qualifiers taken off."""
    if "DW_AT_type" not in die.attributes:
        return die
    inner = _referred(die)
    return (
        _innermost(inner)
        if inner.tag in _QUALIFIERS | {"DW_TAG_array_type", "DW_TAG_pointer_type"}
        else inner
    )
