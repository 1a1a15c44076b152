"""The table of a module's exported symbols (``EXPORT_SYMBOL``), read where it lies: in its image."""

from nooks_lab.kernel.module import Module, ModuleError
from nooks_lab.kernel.structs import Types

_KSYMTAB = "__ksymtab"
_NAME_LIMIT = 256


def find_table(types: Types, module: Module) -> None:
    """Let ``struct module`` say where the table is; a module without one exports nothing.

    Parameters
    ----------
    module : Module
        Linked; its image need not be in memory yet.

    Raises
    ------
    ModuleError
        When the section is no table of ``struct module_symbol``.
    """
    assert module.image is not None
    section = module.object.section_named(_KSYMTAB)
    if section is None or section.index not in module.image.sections:
        return
    count, rest = divmod(section.size, types.size("module_symbol"))
    if rest:
        raise ModuleError(f"module {module.name}: its {_KSYMTAB} ends within an entry")
    module.struct.syms, module.struct.nsyms = module.image.sections[section.index], count


def exported_symbols(types: Types, module: Module) -> dict[str, int]:
    """Return the names and addresses that a module exports now, from guest memory.

    Raises
    ------
    ModuleError
        When the table, a name or an address lies outside of the module, or a name appears twice.
    """
    start, count, size = module.struct.syms, module.struct.nsyms, types.size("module_symbol")
    if count and not module.holds(start, count * size):
        raise ModuleError(f"module {module.name}: its table of exported symbols lies outside of it")
    symbols: dict[str, int] = {}
    for number in range(count):
        entry = types.view("module_symbol", start + number * size)
        name = _name(types, module, number, entry.name)
        if name in symbols:
            raise ModuleError(f"module {module.name} exports {name} twice")
        if not module.holds(entry.value):
            raise ModuleError(f"module {module.name}: exported symbol {name} lies outside of it")
        symbols[name] = entry.value
    return symbols


def _name(types: Types, module: Module, number: int, address: int) -> str:
    if not module.holds(address):
        raise ModuleError(f"module {module.name}: the name of exported symbol {number} lies outside of it")
    text = types.memory.read(address, min(_NAME_LIMIT, module.base + module.size - address))
    name, end, _ = text.partition(b"\0")
    if not end:
        raise ModuleError(f"module {module.name}: the name of exported symbol {number} does not end")
    if not name.isascii() or not name.decode().isidentifier():
        raise ModuleError(f"module {module.name}: the name of exported symbol {number} is no name of C")
    return name.decode()
