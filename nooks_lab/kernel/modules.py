"""The module loader (Linux 2.4 ``kernel/module.c`` and what ``insmod`` does in user space)."""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nooks_lab.kernel import linker
from nooks_lab.kernel.exports import export
from nooks_lab.kernel.hooks import Hooks
from nooks_lab.kernel.slab import SlabAllocator
from nooks_lab.kernel.structs import Types
from nooks_lab.kernel.symbols import SymbolTable
from nooks_lab.kernel.vmalloc import Vmalloc
from nooks_lab.machine.linear import LinearMemory
from nooks_lab.toolchain.elf import ElfError, ObjectFile

MOD_RUNNING, MOD_DELETED = 1, 2
_NAME_LIMIT = 32


class ModuleError(ValueError):
    """A module that cannot be loaded or unloaded; one sentence that names it."""


@dataclass
class Module:
    """A module in memory.

    Attributes
    ----------
    struct : view of struct module
        The kernel's record, in guest memory.
    bindings : dict
        What each undefined symbol was linked to.
    init_result : int or None
        What ``init_module`` returned; None while it has not.
    """

    name: str
    object: ObjectFile
    struct: Any
    base: int
    size: int
    parameters: Mapping[str, int]
    image: linker.Image | None = None
    bindings: dict[str, int] = field(default_factory=dict)
    init_result: int | None = None


class Modules:
    """Loads objects, links them to the kernel's symbols, calls their init and cleanup.

    Parameters
    ----------
    symbols : dict
        The kernel's exported names and addresses.
    module_list : int
        Address of the kernel's list of modules.
    """

    def __init__(
        self,
        types: Types,
        memory: LinearMemory,
        slab: SlabAllocator,
        vmalloc: Vmalloc,
        symbols: Mapping[str, int],
        table: SymbolTable,
        hooks: Hooks,
        module_list: int,
        call: Callable[..., int],
    ) -> None:
        self._types, self._memory, self._slab, self._vmalloc = types, memory, slab, vmalloc
        self._symbols, self._table, self._hooks = symbols, table, hooks
        self._list, self._call = module_list, call
        self.loaded: dict[str, Module] = {}

    def load(self, name: str, obj: ObjectFile, parameters: Mapping[str, int] | None = None) -> Module:
        """Place and link a module, without calling it.

        Raises
        ------
        ModuleError
            When a name, symbol or parameter is wrong, or memory is short; the kernel is as before.
        ElfError
            When the object cannot be laid out.
        """
        if name in self.loaded:
            raise ModuleError(f"module {name} is already loaded")
        defined = obj.defined()
        if "init_module" not in defined:
            raise ModuleError(f"module {name} has no init_module")
        layout = linker.lay_out(obj)
        base = self._vmalloc.alloc(layout.size)
        record = self._slab.zalloc(self._types.size("module") + _NAME_LIMIT)
        if not base or not record:
            self._give_back(base, record)
            raise ModuleError(f"no memory for module {name} ({layout.size} bytes)")
        module = Module(
            name, obj, self._types.view("module", record), base, layout.size, dict(parameters or {})
        )
        self._hooks.module_placed(module)
        try:
            module.image = self._link(module, layout)
            image = bytearray(module.image.data)
            for parameter, value in module.parameters.items():
                _set_parameter(module, image, parameter, value)
        except (ModuleError, ElfError):
            self._hooks.module_gone(module)
            self._give_back(base, record)
            raise
        self._memory.write(base, bytes(image))
        self._fill(module, module.image)
        self.loaded[name] = module
        self._table.add(name, base, base + layout.size, _code_symbols(obj, module.image))
        return module

    def _give_back(self, base: int, record: int) -> None:
        if base:
            self._vmalloc.free(base)
        if record:
            self._slab.free(record)

    def _link(self, module: Module, layout: linker.Layout) -> linker.Image:
        def resolve(symbol: str) -> int | None:
            if symbol == "__this_module":
                return int(module.struct.address)
            address = self._hooks.bind_symbol(module, symbol, self._symbols.get(symbol))
            if address is None:
                raise ModuleError(f"module {module.name}: undefined symbol {symbol}")
            module.bindings[symbol] = address
            return address

        return linker.link(module.object, layout, module.base, resolve)

    def _fill(self, module: Module, image: linker.Image) -> None:
        record = module.struct
        name = record.address + self._types.size("module")
        self._memory.write(name, module.name.encode()[: _NAME_LIMIT - 1] + b"\0")
        record.size_of_struct = self._types.size("module")
        record.name, record.base, record.size = name, module.base, module.size
        record.init = image.exported["init_module"]
        record.cleanup = image.exported.get("cleanup_module", 0)
        record.next = self._memory.u32(self._list)
        self._memory.set_u32(self._list, record.address)

    def init(self, module: Module) -> int:
        """Call ``init_module``; a result other than 0 is an error number, negated."""
        result = self._hooks.call_module(module, lambda: self._call(module.struct.init))
        module.init_result = result - (1 << 32) if result >> 31 else result
        if module.init_result == 0:
            module.struct.flags |= MOD_RUNNING
        return module.init_result

    def cleanup(self, module: Module) -> None:
        """Call ``cleanup_module``.

        Raises
        ------
        ModuleError
            When the module is in use, or has no cleanup.
        """
        if module.struct.usecount > 0:
            raise ModuleError(f"module {module.name} is in use")
        if not module.struct.cleanup:
            raise ModuleError(f"module {module.name} has no cleanup_module")
        module.struct.flags |= MOD_DELETED
        self._hooks.call_module(module, lambda: self._call(module.struct.cleanup))

    def unload(self, module: Module) -> None:
        """Free a module's memory; whoever still points there will fault."""
        link = self._list
        while at := self._memory.u32(link):
            record = self._types.view("module", at)
            if at == module.struct.address:
                self._memory.set_u32(link, record.next)
                break
            link = record.offset_of("next")
        self._hooks.module_gone(module)
        del self.loaded[module.name]
        self._table.remove(module.name)
        self._give_back(module.base, module.struct.address)

    @export(name="__MOD_INC_USE_COUNT")
    def mod_inc_use_count(self, mod: int) -> None:
        """Keep a module from being unloaded."""
        self._types.view("module", mod).usecount += 1

    @export(name="__MOD_DEC_USE_COUNT")
    def mod_dec_use_count(self, mod: int) -> None:
        """Undo ``MOD_INC_USE_COUNT``."""
        self._types.view("module", mod).usecount -= 1


def modinfo(obj: ObjectFile) -> dict[str, str]:
    """Return the ``.modinfo`` strings of a module: ``license``, ``author``, ``parm_X`` ..."""
    section = obj.section_named(".modinfo")
    entries = section.data.split(b"\0") if section else []
    pairs = (entry.decode("latin-1").split("=", 1) for entry in entries if b"=" in entry)
    return {entry[0]: entry[1] for entry in pairs}


def _set_parameter(module: Module, image: bytearray, name: str, value: int) -> None:
    """Write an integer parameter into the image, as ``insmod name=value`` does."""
    kind = modinfo(module.object).get(f"parm_{name}")
    if kind is None or module.image is None or name not in module.image.symbols:
        raise ModuleError(f"module {module.name} has no parameter {name}")
    if not kind.endswith("i"):
        raise ModuleError(f"module {module.name}: parameter {name} is not an integer")
    struct.pack_into("<i", image, module.image.symbols[name] - module.base, value)


def _code_symbols(obj: ObjectFile, image: linker.Image) -> dict[str, int]:
    functions = {symbol.name for symbol in obj.symbols if symbol.kind == "FUNC"}
    return {name: address for name, address in image.symbols.items() if name in functions}
