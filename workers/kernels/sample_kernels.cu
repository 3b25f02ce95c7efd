// Training samples on the device (README.md): what DeviceSampler also does with LibTorch's operators, one
// pixel per thread. A block has 256 threads.

/// A sample's warp: the places of sample_warp.h as a sum of products y[i][j] * down[i] * across[j], likewise
/// x. `down` and `across` have five values for each line of the sample.
struct Bend {
  double y[5][5], x[5][5];
};

/// The part of a section in device memory: its size, and the place in it of the sample's first input pixel.
struct Held {
  int height, width, first_y, first_x;
};

struct SourcePlace {
  double y, x;
};

/// Where pixel (row, column) of a sample comes from, relative to its first input pixel.
__device__ inline SourcePlace source_place(const Bend& bend, const double* down, const double* across,
                                           bool swapped, int row, int column) {
  const double* const of_row = down + 5 * static_cast<long long>(swapped ? column : row);
  const double* const of_column = across + 5 * static_cast<long long>(swapped ? row : column);
  SourcePlace place = {0, 0};
  TESSERA_UNROLL
  for (int i = 0; i < 5; ++i) {
    double y = 0, x = 0;
    TESSERA_UNROLL
    for (int j = 0; j < 5; ++j) {
      y += bend.y[i][j] * of_column[j];
      x += bend.x[i][j] * of_column[j];
    }
    place.y += of_row[i] * y;
    place.x += of_row[i] * x;
  }
  return place;
}

/// As mirror_index() of io/geometry: 0 to n - 1, back, and again.
__device__ inline int mirrored(int i, int n) {
  if (i >= 0 && i < n) return i;
  if (n == 1) return 0;
  const int period = 2 * (n - 1), rest = i % period, within = rest < 0 ? rest + period : rest;
  return within < n ? within : period - within;
}

/// Keys' cubic kernel, a = -1/2, as in cubic_kernel.h.
struct Cubic {
  float weights[4];
};
__device__ inline Cubic cubic(float t) {
  return {{((-0.5F * t + 1) * t - 0.5F) * t, (1.5F * t - 2.5F) * t * t + 1, ((-1.5F * t + 2) * t + 0.5F) * t,
           (0.5F * t - 0.5F) * t * t}};
}

/// One channel of a sample's input, (side, side): bicubic, minus `mean`, times `factor`. The source is
/// `bytes` or `floats`; the other is null.
extern "C" __global__ void __launch_bounds__(256)
    tessera_bend_input(const unsigned char* __restrict__ bytes, const float* __restrict__ floats, Held held,
                       const double* __restrict__ down, const double* __restrict__ across, Bend bend,
                       int swapped, int side, float mean, float factor, float* __restrict__ result) {
  const int pixel = static_cast<int>(blockIdx.x * 256 + threadIdx.x);
  if (pixel >= side * side) return;
  const SourcePlace place = source_place(bend, down, across, swapped != 0, pixel / side, pixel % side);
  const double y = floor(place.y), x = floor(place.x);
  const Cubic along_y = cubic(static_cast<float>(place.y - y)),
              along_x = cubic(static_cast<float>(place.x - x));
  const int top = static_cast<int>(y) + held.first_y - 1, left = static_cast<int>(x) + held.first_x - 1;
  int columns[4];
  TESSERA_UNROLL
  for (int i = 0; i < 4; ++i)
    columns[i] = mirrored(left + i, held.width);
  float sum = 0;
  TESSERA_UNROLL
  for (int i = 0; i < 4; ++i) {
    const long long row = static_cast<long long>(mirrored(top + i, held.height)) * held.width;
    float line = 0;
    TESSERA_UNROLL
    for (int j = 0; j < 4; ++j) {
      const float value =
          bytes != nullptr ? static_cast<float>(bytes[row + columns[j]]) : floats[row + columns[j]];
      line += value * along_x.weights[j];
    }
    sum += line * along_y.weights[i];
  }
  result[pixel] = (sum - mean) * factor;
}

/// A sample's targets, (output, output): class and weight of the nearest pixel. The first pixel is `lost`
/// lines inside the input. `border` may be null. With `only_inside`, pixels outside the section get class
/// `ignored`.
extern "C" __global__ void __launch_bounds__(256)
    tessera_bend_targets(const unsigned char* __restrict__ known_classes, const float* __restrict__ border,
                         const float* __restrict__ class_weights, Held held, const double* __restrict__ down,
                         const double* __restrict__ across, Bend bend, int swapped, int output, int lost,
                         int only_inside, int ignored, long long* __restrict__ classes,
                         float* __restrict__ weights) {
  const int pixel = static_cast<int>(blockIdx.x * 256 + threadIdx.x);
  if (pixel >= output * output) return;
  const SourcePlace place =
      source_place(bend, down, across, swapped != 0, lost + pixel / output, lost + pixel % output);
  const int y = static_cast<int>(floor(place.y + 0.5)) + held.first_y,
            x = static_cast<int>(floor(place.x + 0.5)) + held.first_x;
  const int known_y = mirrored(y, held.height), known_x = mirrored(x, held.width);
  const long long at = static_cast<long long>(known_y) * held.width + known_x;
  const bool beyond = only_inside != 0 && (known_y != y || known_x != x);
  const int kind = beyond ? ignored : known_classes[at];
  classes[pixel] = kind;
  weights[pixel] = class_weights[kind] + (border != nullptr && kind != ignored ? border[at] : 0.0F);
}
