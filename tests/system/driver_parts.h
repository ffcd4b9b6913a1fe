#pragma once

namespace knee::test {

/// What this executable does when it is started as another driver (DriverProcess):
/// `--driver PART [ARGUMENT...]`. Gives the exit code.
int play_driver_part(int argc, char** argv);

}  // namespace knee::test
