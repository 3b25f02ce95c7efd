#pragma once

namespace tessera {

/// Tells the job script how the job ended, where it asked for that: writes the exit code to the file that
/// TESSERA_END_FILE names. For ends that all ranks share, on rank 0: srun's own exit code is the highest of
/// all tasks, and `--kill-on-bad-exit` kills those that are a moment late to leave. What cannot be written is
/// told by a warning.
void tell_job_end(int exit_code);

}  // namespace tessera
