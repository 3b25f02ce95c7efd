#pragma once

namespace tessera {

/// Opens a stand-in for each of the streams 0, 1 and 2 that is closed. Without it, the next file that is
/// opened would be one of them, and what is printed would be written into that file. A write to the stand-in
/// of standard output fails. Call it before any file is opened.
void keep_standard_streams_open();

/// Errors: Error unless all that was printed to standard output has been written: the disk is full, the
/// stream was closed.
void require_output_written();

}  // namespace tessera
