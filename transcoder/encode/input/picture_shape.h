#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "transcoder/ffmpeg.h"

namespace millrace::encode {

// Width and height in pixels.
struct PictureSize {
  int width = 0;
  int height = 0;

  bool operator==(const PictureSize&) const = default;
};

// The turn that makes a decoded picture upright: the display matrix of ISO/IEC 14496-12, as far as
// it is a multiple of a right angle and a mirroring.
struct Orientation {
  int clockwise_degrees = 0;  // 0, 90, 180, 270
  bool mirrored = false;      // left to right, before it is turned

  bool SwapsAxes() const { return clockwise_degrees == 90 || clockwise_degrees == 270; }
  // The filters that turn the picture, e.g. "transpose=clock"; empty if it is upright.
  std::string Filters() const;

  bool operator==(const Orientation&) const = default;
};

// `matrix` has nine numbers, or is null (upright).
Orientation OrientationFromMatrix(const int32_t* matrix);
// Reads the display matrix in the side data of a stream.
Orientation OrientationOf(const AVStream& stream);

// The size on a screen with square pixels, upright and not rounded: the width is multiplied by the
// sample aspect ratio (1:1 if that is missing or absurd).
struct DisplaySize {
  double width = 0;
  double height = 0;
};
DisplaySize DisplaySizeOf(PictureSize coded, AVRational sample_aspect_ratio,
                          const Orientation& orientation);

// Scales down, never up, into the box, keeping the shape; then to the nearest even numbers that
// the box allows, at least 2.
PictureSize FitInside(DisplaySize size, std::optional<int> max_width_px,
                      std::optional<int> max_height_px);

}  // namespace millrace::encode
