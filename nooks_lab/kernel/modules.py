"""The module loader (Linux 2.4 ``kernel/module.c`` and what ``insmod`` does in user space)."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from nooks_lab.kernel import linker
from nooks_lab.kernel.exports import export
from nooks_lab.kernel.hooks import Hooks
from nooks_lab.kernel.ksymtab import exported_symbols, find_table
from nooks_lab.kernel.module import Module, ModuleError, ModuleInfo, Parameters, modinfo
from nooks_lab.kernel.module_parameters import set_parameters, string_room
from nooks_lab.kernel.module_refs import ModuleRefs
from nooks_lab.kernel.slab import SlabAllocator
from nooks_lab.kernel.structs import Types
from nooks_lab.kernel.symbols import SymbolTable
from nooks_lab.kernel.vmalloc import Vmalloc
from nooks_lab.machine.linear import LinearMemory
from nooks_lab.toolchain.elf import ElfError, ObjectFile

MOD_RUNNING, MOD_DELETED = 1, 2
_NAME_LIMIT = 32


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
        self._refs = ModuleRefs(types, slab)
        self.loaded: dict[str, Module] = {}

    def load(self, name: str, obj: ObjectFile, parameters: Parameters | None = None) -> Module:
        """Place and link a module, without calling it.

        Raises
        ------
        ModuleError
            When a name, symbol, parameter or table of exports is wrong, or memory is short; the kernel is as
            before.
        ElfError
            When the object cannot be laid out.
        """
        if name in self.loaded:
            raise ModuleError(f"module {name} is already loaded")
        parameters = dict(parameters or {})
        layout = linker.lay_out(obj, room=string_room(parameters))
        init = obj.defined().get("init_module")
        if init is None or init.section not in layout.offsets:
            raise ModuleError(f"module {name} has no init_module")
        base = self._vmalloc.alloc(layout.size)
        record = self._slab.zalloc(self._types.size("module") + _NAME_LIMIT)
        if not base or not record:
            self._give_back(base, record)
            raise ModuleError(f"no memory for module {name} ({layout.size} bytes)")
        module = Module(name, obj, self._types.view("module", record), base, layout.size, parameters)
        try:
            self._hooks.module_placed(module)
            self._link(module, layout)
        except (ModuleError, ElfError):
            self._hooks.module_gone(module)
            self._give_back(base, record)
            raise
        return self._enlist(module)

    def _give_back(self, base: int, record: int) -> None:
        if base:
            self._vmalloc.free(base)
        if record:
            self._slab.free(record)

    def _link(self, module: Module, layout: linker.Layout) -> None:
        """Write the linked module and its record; nothing refers to them yet, but what it uses is noted."""
        used: dict[str, Module] = {}

        def resolve(symbol: str) -> int | None:
            if symbol == "__this_module":
                return int(module.struct.address)
            found, provider = self._find(symbol)
            address = self._hooks.bind_symbol(module, symbol, found, provider)
            if address is None:
                raise ModuleError(f"module {module.name}: undefined symbol {symbol}")
            if provider is not None:
                used[provider.name] = provider
            module.bindings[symbol] = address
            return address

        module.image = linker.link(module.object, layout, module.base, resolve)
        image = bytearray(module.image.data)
        set_parameters(module, image)
        self._memory.write(module.base, bytes(image))
        self._fill(module, module.image)
        self._check_exports(module)
        if not self._refs.add(module.struct, [provider.struct for provider in used.values()]):
            raise ModuleError(f"module {module.name}: no memory for its references")

    def _find(self, symbol: str) -> tuple[int | None, Module | None]:
        """Return a symbol's address and who exports it: the kernel, which is None, or else a module."""
        address = self._symbols.get(symbol)
        if address is None:
            for module in self.loaded.values():
                # Only between a good init and the cleanup may others call it.
                if module.struct.flags & (MOD_RUNNING | MOD_DELETED) == MOD_RUNNING:
                    address = exported_symbols(self._types, module).get(symbol)
                    if address is not None:
                        return address, module
        return address, None

    def _check_exports(self, module: Module) -> None:
        """Every exported name has one owner, so that it never depends on the order what a symbol means."""
        mine = exported_symbols(self._types, module)
        if not mine:
            return
        tables = [
            (f"module {other.name}", exported_symbols(self._types, other)) for other in self.loaded.values()
        ]
        for owner, names in [("the kernel", self._symbols), *tables]:
            for symbol in mine:
                if symbol in names:
                    raise ModuleError(f"module {module.name}: symbol {symbol} is already exported by {owner}")

    def _fill(self, module: Module, image: linker.Image) -> None:
        record = module.struct
        name = record.address + self._types.size("module")
        self._memory.write(name, module.name.encode()[: _NAME_LIMIT - 1] + b"\0")
        record.size_of_struct = self._types.size("module")
        record.name, record.base, record.size = name, module.base, module.size
        record.init = image.exported["init_module"]
        record.cleanup = image.exported.get("cleanup_module", 0)
        find_table(self._types, module)

    def _enlist(self, module: Module) -> Module:
        """From here on the module is one of the loaded."""
        assert module.image is not None
        module.struct.next = self._memory.u32(self._list)
        self._memory.set_u32(self._list, module.struct.address)
        self.loaded[module.name] = module
        functions = _code_symbols(module.object, module.image)
        self._table.add(module.name, module.base, module.base + module.size, functions)
        return module

    def lsmod(self) -> list[ModuleInfo]:
        """Return what ``/proc/modules`` says: all modules, the latest first, as guest memory has them."""
        return [
            ModuleInfo(
                self._name(record),
                record.size,
                record.usecount,
                tuple(map(self._name, self._refs.users(record))),
            )
            for record in self._records()
        ]

    def _records(self) -> Iterator[Any]:
        at = self._memory.u32(self._list)
        while at:
            record = self._types.view("module", at)
            yield record
            at = record.next

    def _name(self, record: Any) -> str:
        return self._memory.string(record.name, _NAME_LIMIT).decode(errors="replace")

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
            When the module is in use, another module uses it, or it has no cleanup.
        """
        users = ", ".join(map(self._name, self._refs.users(module.struct)))
        if users:
            raise ModuleError(f"module {module.name} is used by {users}")
        if module.struct.usecount > 0:
            raise ModuleError(f"module {module.name} is in use")
        if not module.struct.cleanup:
            raise ModuleError(f"module {module.name} has no cleanup_module")
        module.struct.flags |= MOD_DELETED
        self._hooks.call_module(module, lambda: self._call(module.struct.cleanup))

    def unload(self, module: Module) -> None:
        """Free a module's memory; whoever still points there will fault, also a module that uses it.

        One that has gone already is left alone.
        """
        if self.loaded.get(module.name) is not module:
            return
        link = self._list
        while at := self._memory.u32(link):
            record = self._types.view("module", at)
            if at == module.struct.address:
                self._memory.set_u32(link, record.next)
                break
            link = record.offset_of("next")
        self._refs.drop(module.struct)
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


def _code_symbols(obj: ObjectFile, image: linker.Image) -> dict[str, int]:
    functions = {symbol.name for symbol in obj.symbols if symbol.kind == "FUNC"}
    return {name: address for name, address in image.symbols.items() if name in functions}


__all__ = ["MOD_DELETED", "MOD_RUNNING", "Module", "ModuleError", "ModuleInfo", "Modules", "modinfo"]
