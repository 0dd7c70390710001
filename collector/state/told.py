"""What a push tells of the agent that sent it."""

from agent.wire import Push
from collector.state.states import AgentState

CLONED_SECONDS = 60.0
CLONED_RETURNS = 3
"""One straggler over another line makes two."""


def note_boot(state: AgentState, boot: str, now: float) -> bool:
    """Remember which boots speak; return whether this one had been followed by another already.

    A restarted agent never speaks as its earlier boot again, but for a straggler over a slow line.
    Two copies of one PC take turns for ever.
    """
    followed = boot in state.boots
    if state.boot and boot != state.boot:
        state.boots[state.boot] = now
        if followed:
            state.returns = (*state.returns, now)
    if state.boots:
        oldest = now - CLONED_SECONDS
        state.boots = {one: at for one, at in state.boots.items() if at > oldest}
        state.returns = tuple(at for at in state.returns if at > oldest)
    state.boot = boot
    state.cloned = len(state.returns) >= CLONED_RETURNS
    return followed


def copy_push(state: AgentState, push: Push) -> None:
    """Take over what a push says, but for its batches: they may be a megabyte."""
    state.pushes += 1
    state.config, state.config_error = push.config, push.config_error
    state.program, state.via, state.lines = push.program, push.via, push.lines
    state.spool, state.power = push.spool, push.power
    state.synchronised, state.clock_error = push.synchronised, push.anchor_error
    if push.anchor is not None:
        state.clock_offset = push.sent.wall_ms / 1e3 - push.anchor - push.sent.mono_ns / 1e9
