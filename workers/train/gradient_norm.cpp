#include "workers/train/gradient_norm.h"

#include <ATen/Functions.h>
#include <ATen/Parallel.h>

#include <cmath>
#include <cstdint>
#include <vector>

#include "workers/train/optimizer_steps.h"

namespace tessera {

double gradient_norm(const at::Tensor& gradient) {
  if (!gradient.device().is_cpu() || gradient.scalar_type() != at::kFloat) {
    return at::linalg_vector_norm(gradient, 2, at::OptionalIntArrayRef(), false, at::kDouble).item<double>();
  }
  constexpr std::int64_t kBlock = 1 << 16;  // fixed blocks, added in order: independent of the threads
  const std::int64_t count = gradient.numel(), blocks = (count + kBlock - 1) / kBlock;
  std::vector<double> sums(static_cast<std::size_t>(blocks));
  const float* values = gradient.data_ptr<float>();
  at::parallel_for(0, blocks, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t block = begin; block < end; ++block) {
      const std::int64_t first = block * kBlock;
      sums[static_cast<std::size_t>(block)] =
          sum_of_squares({values + first, static_cast<std::size_t>(std::min(kBlock, count - first))});
    }
  });
  double sum = 0;
  for (const double one : sums)
    sum += one;
  return std::sqrt(sum);
}

}  // namespace tessera
