// Custom CUDA kernels for steps that memory bandwidth limits (README.md). Threads do not cooperate. Images
// are (n, height, width, channels) in bfloat16. A thread takes 8 channels, a 16-byte vector, at a time; a
// pixel has `vectors` of them. A block has 256 threads.

/// The number of the first maximum of four values. A NaN counts as larger than all before it, as in
/// LibTorch's pooling.
__device__ inline int first_maximum(float a, float b, float c, float d) {
  int place = 0;
  float most = a;
  if (b > most || b != b) most = b, place = 1;
  if (c > most || c != c) most = c, place = 2;
  if (d > most || d != d) place = 3;
  return place;
}

__device__ inline unsigned int chosen(int place, unsigned int a, unsigned int b, unsigned int c,
                                      unsigned int d) {
  return place < 2 ? (place == 0 ? a : b) : (place == 2 ? c : d);
}

/// Maxima of 2x2 pixels; an odd last row or column is left out. Block (x, y) computes the y-th 256 vectors of
/// row x; the rows of all samples are counted together.
extern "C" __global__ void __launch_bounds__(256)
    tessera_pool(const Bfloat16Vector* __restrict__ image, Bfloat16Vector* __restrict__ pooled, int height,
                 int width, int vectors) {
  const unsigned int pooled_height = height / 2, pooled_width = width / 2;
  const unsigned int place = blockIdx.y * 256 + threadIdx.x;
  if (place >= pooled_width * vectors) return;
  const unsigned int row = blockIdx.x, sample = row / pooled_height, y = row - sample * pooled_height,
                     x = place / vectors;
  const long long pitch = static_cast<long long>(width) * vectors;
  const Bfloat16Vector* corner =
      image + (static_cast<long long>(sample) * height + 2 * y) * pitch + place + x * vectors;
  const Bfloat16Vector a = corner[0], b = corner[vectors], c = corner[pitch], d = corner[pitch + vectors];
  Bfloat16Vector most;
  TESSERA_UNROLL
  for (int i = 0; i < 4; ++i) {
    const unsigned int p = a.pairs[i], q = b.pairs[i], r = c.pairs[i], s = d.pairs[i];
    most.pairs[i] = (chosen(first_maximum(low(p), low(q), low(r), low(s)), p, q, r, s) & 0xffffU) |
                    (chosen(first_maximum(high(p), high(q), high(r), high(s)), p, q, r, s) & 0xffff0000U);
  }
  pooled[static_cast<long long>(row) * pooled_width * vectors + place] = most;
}

/// The gradient of ReLU's output `image`, from two gradients: that of the pooled image, and that of another
/// image, with `crop_vectors` per pixel, whose first channels are a copy of the middle. `scale` is that of a
/// dropout behind the ReLU, else 1. Block (x, y) computes the y-th 256 vectors of row x of 2x2 pixels; the
/// rows of all samples are counted together.
extern "C" __global__ void __launch_bounds__(256, 3)
    tessera_join(const Bfloat16Vector* __restrict__ image, const Bfloat16Vector* __restrict__ pooled_gradient,
                 const Bfloat16Vector* __restrict__ crop_gradient, Bfloat16Vector* __restrict__ gradient,
                 int height, int width, int vectors, int crop_height, int crop_width, int crop_vectors,
                 float scale) {
  const unsigned int rows = (height + 1) / 2, columns = (width + 1) / 2;
  const unsigned int place = blockIdx.y * 256 + threadIdx.x;
  if (place >= columns * vectors) return;
  const unsigned int sample = blockIdx.x / rows, column = place / vectors;
  const int window = static_cast<int>(blockIdx.x - sample * rows),
            vector = static_cast<int>(place - column * vectors);
  const int y = 2 * window, x = 2 * static_cast<int>(column);
  const int crop_y = y - (height - crop_height) / 2, crop_x = x - (width - crop_width) / 2;
  const long long first = ((static_cast<long long>(sample) * height + y) * width + x) * vectors + vector;
  const long long first_cropped =
      ((static_cast<long long>(sample) * crop_height + crop_y) * crop_width + crop_x) * crop_vectors + vector;

  const Bfloat16Vector nothing = {{0, 0, 0, 0}};
  Bfloat16Vector values[4], cropped[4], pooled = nothing;
  bool inside[4];
  TESSERA_UNROLL
  for (int i = 0; i < 4; ++i) {
    const int down = i / 2, right = i % 2;
    inside[i] = y + down < height && x + right < width;
    values[i] = cropped[i] = nothing;
    if (inside[i]) values[i] = image[first + (static_cast<long long>(down) * width + right) * vectors];
    const bool in_crop = crop_y + down >= 0 && crop_y + down < crop_height && crop_x + right >= 0 &&
                         crop_x + right < crop_width;
    if (in_crop)
      cropped[i] =
          crop_gradient[first_cropped + (static_cast<long long>(down) * crop_width + right) * crop_vectors];
  }
  if (inside[3]) {
    const long long pooled_row = static_cast<long long>(sample) * (height / 2) + window;
    pooled = pooled_gradient[(pooled_row * (width / 2) + column) * vectors + vector];
  }

  TESSERA_UNROLL
  for (int i = 0; i < 4; ++i) {
    const int place_low = first_maximum(low(values[0].pairs[i]), low(values[1].pairs[i]),
                                        low(values[2].pairs[i]), low(values[3].pairs[i]));
    const int place_high = first_maximum(high(values[0].pairs[i]), high(values[1].pairs[i]),
                                         high(values[2].pairs[i]), high(values[3].pairs[i]));
    TESSERA_UNROLL
    for (int j = 0; j < 4; ++j) {
      const float sum_low = (place_low == j ? low(pooled.pairs[i]) : 0.0F) + low(cropped[j].pairs[i]);
      const float sum_high = (place_high == j ? high(pooled.pairs[i]) : 0.0F) + high(cropped[j].pairs[i]);
      values[j].pairs[i] = rounded_pair(low(values[j].pairs[i]) <= 0 ? 0.0F : sum_low * scale,
                                        high(values[j].pairs[i]) <= 0 ? 0.0F : sum_high * scale);
    }
  }
  TESSERA_UNROLL
  for (int i = 0; i < 4; ++i) {
    if (inside[i]) gradient[first + (static_cast<long long>(i / 2) * width + i % 2) * vectors] = values[i];
  }
}

/// A pixel of an image with one channel; 0 outside.
__device__ inline float pixel(const unsigned short* image, int y, int x, int height, int width) {
  const bool inside = static_cast<unsigned int>(y) < static_cast<unsigned int>(height) &&
                      static_cast<unsigned int>(x) < static_cast<unsigned int>(width);
  return inside ? low(image[y * width + x]) : 0.0F;
}

/// relu(3x3 convolution of one channel + bias), with `padding` (0 or 1) zero pixels on all sides. A thread
/// keeps the weights of its 8 channels, 9 taps each, and loops over runs of kRun pixels of a row. The number
/// of blocks is free.
extern "C" __global__ void __launch_bounds__(256, 2)
    tessera_first_convolution(const unsigned short* __restrict__ image,
                              const Bfloat16Vector* __restrict__ weight,
                              const Bfloat16Vector* __restrict__ bias, Bfloat16Vector* __restrict__ out,
                              int samples, int height, int width, int vectors, int padding) {
  constexpr int kRun = 8;
  const int out_height = height - 2 + 2 * padding, out_width = width - 2 + 2 * padding;
  const unsigned int together = 256 / vectors, slot = threadIdx.x / vectors,
                     vector = threadIdx.x - slot * vectors;
  if (slot >= together) return;
  float taps[8][9];
  const Bfloat16Vector biases = bias[vector];
  TESSERA_UNROLL
  for (int i = 0; i < 9; ++i) {
    const Bfloat16Vector part = weight[vector * 9 + i];
    TESSERA_UNROLL
    for (int j = 0; j < 8; ++j)
      taps[(i * 8 + j) / 9][(i * 8 + j) % 9] = value(part, j);
  }

  const unsigned int runs_a_row = (out_width + kRun - 1) / kRun, runs = samples * out_height * runs_a_row;
  for (unsigned int run = blockIdx.x * together + slot; run < runs; run += gridDim.x * together) {
    const unsigned int row = run / runs_a_row, sample = row / out_height;
    const int out_x = static_cast<int>(run - row * runs_a_row) * kRun;
    const int y = static_cast<int>(row - sample * out_height) - padding, x = out_x - padding;
    const unsigned short* in = image + static_cast<long long>(sample) * height * width;
    float pixels[3][3];  // column x is at x % 3, counted from the start of the run
    TESSERA_UNROLL
    for (int i = 0; i < 6; ++i)
      pixels[i / 2][i % 2] = pixel(in, y + i / 2, x + i % 2, height, width);
    Bfloat16Vector* to = out + (static_cast<long long>(row) * out_width + out_x) * vectors + vector;
    TESSERA_UNROLL
    for (int j = 0; j < kRun; ++j) {
      TESSERA_UNROLL
      for (int i = 0; i < 3; ++i)
        pixels[i][(j + 2) % 3] = pixel(in, y + i, x + j + 2, height, width);
      float sums[8];
      TESSERA_UNROLL
      for (int c = 0; c < 8; ++c) {
        sums[c] = value(biases, c);
        TESSERA_UNROLL
        for (int tap = 0; tap < 9; ++tap)
          sums[c] += taps[c][tap] * pixels[tap / 3][(j + tap % 3) % 3];
      }
      Bfloat16Vector rectified;
      TESSERA_UNROLL
      for (int i = 0; i < 4; ++i)
        rectified.pairs[i] = rectified_pair(sums[2 * i], sums[2 * i + 1]);
      if (out_x + j < out_width) to[j * vectors] = rectified;
    }
  }
}

/// Logits (n, classes, height, width) in float32: 1x1 convolution to at most four classes, with bias. Block
/// (x, y) computes the x-th 256 pixels of sample y.
extern "C" __global__ void __launch_bounds__(256)
    tessera_classes(const Bfloat16Vector* __restrict__ image, const Bfloat16Vector* __restrict__ weight,
                    const unsigned short* __restrict__ bias, float* __restrict__ logits, long long pixels,
                    int vectors, int classes) {
  const long long pixel = static_cast<long long>(blockIdx.x) * 256 + threadIdx.x;
  if (pixel >= pixels) return;
  const Bfloat16Vector* in = image + (static_cast<long long>(blockIdx.y) * pixels + pixel) * vectors;
  float sums[4] = {0, 0, 0, 0};
  TESSERA_UNROLL_SOME
  for (int i = 0; i < vectors; ++i) {
    const Bfloat16Vector part = in[i];
    TESSERA_UNROLL
    for (int c = 0; c < 4; ++c) {
      if (c >= classes) continue;
      const Bfloat16Vector by = weight[c * vectors + i];
      TESSERA_UNROLL
      for (int j = 0; j < 8; ++j)
        sums[c] += value(part, j) * value(by, j);
    }
  }
  TESSERA_UNROLL
  for (int c = 0; c < 4; ++c) {
    if (c < classes)
      logits[(static_cast<long long>(blockIdx.y) * classes + c) * pixels + pixel] = sums[c] + low(bias[c]);
  }
}
