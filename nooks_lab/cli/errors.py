"""Errors that are the user's, and the one sentence for each."""


def sentence(error: BaseException) -> str:
    """Return one line for the user: of a compiler's report, its first error."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    first, *more = str(error).splitlines() or [type(error).__name__]
    cause = next((line for line in more if "error:" in line), "")
    return f"{first} {cause}".strip()


def is_users(error: Exception) -> bool:
    """Tell whether an error is the user's; loaded only once there is one."""
    from nooks_lab.campaign.errors import CampaignError
    from nooks_lab.cards import UnknownCard
    from nooks_lab.demo import DemoError
    from nooks_lab.extensions import UnknownExtension
    from nooks_lab.faults.bugs.library import UnknownBug
    from nooks_lab.faults.injector import NothingQualifies, UnknownFaultClass
    from nooks_lab.faults.text_fault import NoSuchFault
    from nooks_lab.grading.metadata import NotebookError
    from nooks_lab.grading.reference import UnusableReference
    from nooks_lab.kernel.modules import ModuleError
    from nooks_lab.nooks.recovery.policy import PolicyError
    from nooks_lab.nooks.wrappers.generator.headers import GeneratorError
    from nooks_lab.replay import CaptureError
    from nooks_lab.toolchain.compiler import CompileError
    from nooks_lab.toolchain.elf import ElfError

    programs = (CompileError, ElfError, ModuleError, UnknownExtension, UnknownCard, CaptureError, DemoError)
    injection = (CampaignError, NothingQualifies, UnknownFaultClass, UnknownBug)
    return isinstance(
        error,
        (
            *programs,
            *injection,
            NoSuchFault,
            PolicyError,
            GeneratorError,
            NotebookError,
            UnusableReference,
            OSError,
        ),
    )
