#pragma once

namespace knee::process {

/// Marks a run of an executable as a keeper; see keeper.h.
inline constexpr const char* kKeeperMark = "--knee-keeper";

/// The number under which a keeper finds its end of the control socket.
inline constexpr int kKeeperControl = 3;

/// Whether this process was started as a keeper: it must call keeper_main and nothing else, first
/// thing in main(), before any thread or signal handler exists.
bool is_keeper(int argc, const char* const* argv);

/// Runs one command as the plan on the control socket says, to its end and the end of everything
/// it left. Returns main's exit code. The command is killed with all its descendants when the
/// other end of the socket is closed or shut down, when the process that started the keeper ends
/// in whichever way, and when the keeper gets SIGTERM, SIGINT, SIGHUP or SIGQUIT.
///
/// Where /proc is not mounted, leftovers are found by asking about process numbers, in the worst
/// case about all there are (see children_by_asking), and the out-of-memory guess is `unknown`.
int keeper_main(int control = kKeeperControl);

}  // namespace knee::process
