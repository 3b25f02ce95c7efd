#pragma once

namespace tessera {

/// The meaning of a volume's stored values.
enum class ReadAs {
  values,  ///< grey values or probabilities: unsigned integers or float32; a negative integer is an error
  ids  ///< labels: unsigned integers as stored; signed integers and whole float numbers become uint64, and
       ///< -1 is 2^64 - 1
};

}  // namespace tessera
