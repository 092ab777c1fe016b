#include <gtest/gtest.h>

#include <array>

#include "transcoder/encode/input/picture_shape.h"

namespace millrace::encode {
namespace {

constexpr int32_t kOne = 1 << 16;

Orientation From(int32_t a, int32_t b, int32_t c, int32_t d) {
  const std::array<int32_t, 9> matrix = {a * kOne, b * kOne, 0, c * kOne, d * kOne,
                                         0,        0,        0, 1 << 30};
  return OrientationFromMatrix(matrix.data());
}

TEST(Orientation, ReadsTheQuarterTurnsOfPhones) {
  EXPECT_EQ(From(1, 0, 0, 1), (Orientation{0, false}));
  EXPECT_EQ(From(0, 1, -1, 0), (Orientation{90, false}));
  EXPECT_EQ(From(-1, 0, 0, -1), (Orientation{180, false}));
  EXPECT_EQ(From(0, -1, 1, 0), (Orientation{270, false}));
}

TEST(Orientation, ReadsMirrorings) {
  EXPECT_EQ(From(-1, 0, 0, 1), (Orientation{0, true}));
  EXPECT_EQ(From(1, 0, 0, -1), (Orientation{180, true}));
  EXPECT_EQ(From(-1, 0, 0, 1).Filters(), "hflip");
  EXPECT_EQ(From(1, 0, 0, -1).Filters(), "vflip");
}

TEST(Orientation, IsUprightWithoutAMatrixOrWithAnAbsurdOne) {
  EXPECT_EQ(OrientationFromMatrix(nullptr), Orientation());
  EXPECT_EQ(From(0, 0, 0, 0), Orientation());
  EXPECT_EQ(From(1, 0, 0, 1).Filters(), "");
}

TEST(DisplaySize, AppliesAspectAndRotation) {
  const DisplaySize wide = DisplaySizeOf({1280, 1080}, {3, 2}, {});
  EXPECT_DOUBLE_EQ(wide.width, 1920);
  EXPECT_DOUBLE_EQ(wide.height, 1080);
  const DisplaySize turned = DisplaySizeOf({1280, 720}, {1, 1}, {90, false});
  EXPECT_DOUBLE_EQ(turned.width, 720);
  EXPECT_DOUBLE_EQ(turned.height, 1280);
  EXPECT_DOUBLE_EQ(DisplaySizeOf({100, 100}, {0, 0}, {}).width, 100);
  EXPECT_DOUBLE_EQ(DisplaySizeOf({100, 100}, {1000, 1}, {}).width, 100);
}

TEST(FitInside, ScalesDownAndNeverUp) {
  EXPECT_EQ(FitInside({1920, 1080}, {}, 720), (PictureSize{1280, 720}));
  EXPECT_EQ(FitInside({1920, 1080}, 640, 640), (PictureSize{640, 360}));
  EXPECT_EQ(FitInside({320, 180}, 1920, 1080), (PictureSize{320, 180}));
  EXPECT_EQ(FitInside({1080, 1920}, {}, 720), (PictureSize{406, 720}));
}

TEST(FitInside, GivesEvenSizesWithinTheBox) {
  EXPECT_EQ(FitInside({161, 121}, {}, {}), (PictureSize{162, 122}));
  EXPECT_EQ(FitInside({161, 121}, 161, 121), (PictureSize{160, 120}));
  EXPECT_EQ(FitInside({1, 1}, {}, {}), (PictureSize{2, 2}));
  EXPECT_EQ(FitInside({4000, 2}, 100, {}), (PictureSize{100, 2}));
}

}  // namespace
}  // namespace millrace::encode
