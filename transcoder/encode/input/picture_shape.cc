#include "transcoder/encode/input/picture_shape.h"

#include <algorithm>
#include <cmath>

extern "C" {
#include <libavutil/display.h>
}

namespace millrace::encode {
namespace {

// A sample aspect ratio beyond 1:64 or 64:1 is taken for a mistake.
constexpr double kMaxAspect = 64;

double AspectOf(AVRational ratio) {
  if (ratio.num <= 0 || ratio.den <= 0) return 1;
  const double value = av_q2d(ratio);
  return value > kMaxAspect || value < 1 / kMaxAspect ? 1 : value;
}

// Rounds to the nearest even number that does not exceed the limit.
int ToEven(double pixels, std::optional<int> limit) {
  int even = 2 * static_cast<int>(std::lround(pixels / 2));
  if (limit && even > *limit) even = *limit / 2 * 2;
  return std::max(even, 2);
}

}  // namespace

std::string Orientation::Filters() const {
  switch (clockwise_degrees) {
    case 90:
      return mirrored ? "transpose=clock_flip" : "transpose=clock";
    case 180:
      return mirrored ? "vflip" : "hflip,vflip";
    case 270:
      return mirrored ? "transpose=cclock_flip" : "transpose=cclock";
    default:
      return mirrored ? "hflip" : "";
  }
}

Orientation OrientationFromMatrix(const int32_t* matrix) {
  if (matrix == nullptr) return {};
  // Screen coordinates: x' = a x + c y, y' = b x + d y with y downwards, a = matrix[0],
  // b = matrix[1], c = matrix[3], d = matrix[4].
  const double a = matrix[0];
  const double b = matrix[1];
  const double c = matrix[3];
  const double d = matrix[4];
  if (a * d - b * c == 0) return {};
  const bool mirrored = a * d - b * c < 0;
  // The rotation that remains once the mirroring (x to -x) is taken out of the first column.
  const double angle = mirrored ? std::atan2(-b, -a) : std::atan2(b, a);
  const double degrees = angle * 180 / 3.14159265358979323846;
  const int quarter = static_cast<int>(std::lround(degrees / 90));
  if (std::abs(degrees - quarter * 90) > 1) return {};
  return {.clockwise_degrees = (quarter * 90 + 360) % 360, .mirrored = mirrored};
}

Orientation OrientationOf(const AVStream& stream) {
  const std::span<const uint8_t> data = FindSideData(stream, AV_PKT_DATA_DISPLAYMATRIX);
  if (data.size() < 9 * sizeof(int32_t)) return {};
  return OrientationFromMatrix(static_cast<const int32_t*>(static_cast<const void*>(data.data())));
}

DisplaySize DisplaySizeOf(PictureSize coded, AVRational sample_aspect_ratio,
                          const Orientation& orientation) {
  DisplaySize size{.width = coded.width * AspectOf(sample_aspect_ratio),
                   .height = static_cast<double>(coded.height)};
  if (orientation.SwapsAxes()) std::swap(size.width, size.height);
  return size;
}

PictureSize FitInside(DisplaySize size, std::optional<int> max_width_px,
                      std::optional<int> max_height_px) {
  double scale = 1;
  if (max_width_px) scale = std::min(scale, *max_width_px / size.width);
  if (max_height_px) scale = std::min(scale, *max_height_px / size.height);
  return {.width = ToEven(size.width * scale, max_width_px),
          .height = ToEven(size.height * scale, max_height_px)};
}

}  // namespace millrace::encode
