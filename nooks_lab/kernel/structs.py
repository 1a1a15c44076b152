"""Typed views of C structs in guest memory; the layouts are the compiler's."""

import struct
from collections.abc import Callable, Iterator
from typing import Any

from nooks_lab.machine.linear import LinearMemory
from nooks_lab.toolchain.layouts import CType, Layouts, StructLayout


class Struct:
    """A C struct at an address: reading an attribute reads guest memory, assigning writes it.

    Every access goes through the page tables and may raise a page fault, as the guest's own would.
    """

    __slots__ = ("_types", "address")

    _layout: StructLayout
    _types: "Types"
    address: int

    def __init__(self, types: "Types", address: int) -> None:
        self._types = types
        self.address = address

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"struct {self._layout.name} has no member {name!r}")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Struct):
            return NotImplemented
        return bool(self.address == other.address and self._layout.name == other._layout.name)

    def __hash__(self) -> int:
        return hash((self.address, self._layout.name))

    def __bool__(self) -> bool:
        return bool(self.address)

    def __repr__(self) -> str:
        return f"(struct {self._layout.name} *){self.address:#010x}"

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:
        lines = [repr(self)]
        for field in self._layout.fields.values():
            value = getattr(self, field.name)
            shown = f"{value:#x}" if field.type.kind == "pointer" else repr(value)
            lines.append(f"    .{field.name} = {shown}")
        printer.text("\n".join(lines))

    def offset_of(self, member: str) -> int:
        """Return the address of a member."""
        return int(self.address) + self._layout.fields[member].offset

    def bytes(self) -> bytes:
        """Return the struct's bytes."""
        return self._types.memory.read(self.address, self._layout.size)


class Fields:
    """Neighbouring words of a struct, read or written in one access.

    Parameters
    ----------
    types : Types
    name : str
        The struct.
    members : str
        Members of four bytes, each right behind the one before.

    Raises
    ------
    ValueError
        When the compiler has put them elsewhere.
    """

    def __init__(self, types: "Types", name: str, *members: str) -> None:
        fields = types.layouts.structs[name].fields
        self._memory = types.memory
        self._offset, self._words = fields[members[0]].offset, struct.Struct(f"<{len(members)}I")
        for place, member in enumerate(members):
            if (fields[member].offset, fields[member].type.size) != (self._offset + 4 * place, 4):
                raise ValueError(f"struct {name} does not have {', '.join(members)} in a row")

    def read(self, address: int) -> tuple[int, ...]:
        """Return the members of the struct at an address, unsigned."""
        found: tuple[int, ...] = self._words.unpack(
            self._memory.read(address + self._offset, self._words.size)
        )
        return found

    def write(self, address: int, *values: int) -> None:
        """Write them, modulo 2**32."""
        self._memory.write(
            address + self._offset, self._words.pack(*(value & 0xFFFFFFFF for value in values))
        )


class Array:
    """A C array in guest memory."""

    __slots__ = ("_element", "_types", "address", "count")

    def __init__(self, types: "Types", element: CType, address: int, count: int) -> None:
        self._types, self._element, self.address, self.count = types, element, address, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Any:
        if not 0 <= index < self.count:
            raise IndexError(f"index {index} is outside an array of {self.count}")
        return self._types.load(self._element, self.address + index * self._element.size)

    def __setitem__(self, index: int, value: Any) -> None:
        if not 0 <= index < self.count:
            raise IndexError(f"index {index} is outside an array of {self.count}")
        self._types.store(self._element, self.address + index * self._element.size, value)

    def __iter__(self) -> Iterator[Any]:
        return (self[index] for index in range(self.count))


Getter = Callable[[Struct], Any]
Setter = Callable[[Struct, Any], None]


class Types:
    """All struct types, and loads and stores of C values by type.

    Parameters
    ----------
    layouts : Layouts
        What the compiler says of the headers.
    memory : LinearMemory
        Where the values live.
    """

    def __init__(self, layouts: Layouts, memory: LinearMemory) -> None:
        self.layouts = layouts
        self.memory = memory
        self._classes: dict[str, type[Struct]] = {}

    def view(self, name: str, address: int) -> Any:
        """Return a view of ``struct name`` at an address; KeyError when no header has such a struct."""
        cls = self._classes.get(name)
        if cls is None:
            cls = self._classes[name] = self._make_class(self.layouts.structs[name])
        return cls(self, address)

    def size(self, name: str) -> int:
        """Return ``sizeof(struct name)``."""
        return self.layouts.structs[name].size

    def offset(self, name: str, member: str) -> int:
        """Return ``offsetof(struct name, member)``."""
        return self.layouts.structs[name].fields[member].offset

    def _make_class(self, layout: StructLayout) -> type[Struct]:
        members: dict[str, Any] = {"__slots__": (), "_layout": layout}
        for field in layout.fields.values():
            members[field.name] = property(
                self._getter(field.type, field.offset), self._setter(field.type, field.offset)
            )
        return type(layout.name, (Struct,), members)

    def _getter(self, ctype: CType, offset: int) -> Getter:
        memory = self.memory
        if ctype.size == 4 and ctype.kind in ("pointer", "uint", "enum"):
            u32 = memory.u32
            return lambda view: u32(view.address + offset)
        inner = ctype.struct
        if inner is not None and ctype.kind in ("struct", "union"):
            return lambda view: self.view(inner, view.address + offset)
        return lambda view: self.load(ctype, view.address + offset)

    def _setter(self, ctype: CType, offset: int) -> Setter:
        memory = self.memory
        if ctype.size == 4 and ctype.kind in ("pointer", "uint", "int", "enum"):
            set_u32 = memory.set_u32
            return lambda view, value: set_u32(view.address + offset, int(value))
        return lambda view, value: self.store(ctype, view.address + offset, value)

    def load(self, ctype: CType, address: int) -> Any:
        """Read a C value: int, bytes (``char[]`` to its NUL, ``unsigned char[]`` whole), view or array."""
        if ctype.struct is not None and ctype.kind in ("struct", "union"):
            return self.view(ctype.struct, address)
        if ctype.kind == "array" and ctype.target is not None:
            if ctype.target.size == 1:
                data = self.memory.read(address, ctype.count)
                return data.split(b"\0", 1)[0] if ctype.target.name == "char" else data
            return Array(self, ctype.target, address, ctype.count)
        if ctype.size == 4:
            value = self.memory.u32(address)
            return value - (1 << 32) if ctype.kind == "int" and value >> 31 else value
        return int.from_bytes(self.memory.read(address, ctype.size), "little", signed=ctype.kind == "int")

    def store(self, ctype: CType, address: int, value: Any) -> None:
        """Write a C value; a struct takes bytes or a view, a ``char[]`` is padded with NULs."""
        if ctype.kind in ("struct", "union"):
            data = value.bytes() if isinstance(value, Struct) else bytes(value)
            self.memory.write(address, data[: ctype.size])
        elif ctype.kind == "array" and ctype.target is not None:
            if ctype.target.size == 1:
                self.memory.write(address, bytes(value)[: ctype.count].ljust(ctype.count, b"\0"))
            else:
                for index, element in enumerate(value):
                    self.store(ctype.target, address + index * ctype.target.size, element)
        else:
            mask = (1 << 8 * ctype.size) - 1
            self.memory.write(address, (int(value) & mask).to_bytes(ctype.size, "little"))
