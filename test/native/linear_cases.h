// The shapes in which linear is tested in every precision.
#pragma once

#include <cstdint>

#include "ops/linear/linear.h"

namespace acd::test::linear {

struct Case {
  int64_t rows, k, n;
  int64_t gap = 0;  // between rows: cells, of int8 x four each
  int64_t batch = 1;
};
// Tiles: 144 rows, 192 columns and parts of 1024 of k in f32, 288 rows and 256 columns in int8;
// 1369 and 1370 are the tokens of a 518-pixel picture.
inline const Case kCases[] = {
    {1, 1, 1},        {1, 7, 3, 2},      {2, 64, 64},         {63, 65, 61, 3},
    {64, 63, 65},     {65, 64, 63, 1},   {3, 257, 257, 5},    {288, 16, 256},
    {289, 31, 17, 7}, {577, 17, 300},    {5, 13, 11, 3, 3},   {65, 37, 259, 1, 2},
    {1369, 64, 127},  {1370, 61, 64, 3}, {290, 24, 31, 0, 2}, {9, 1025, 49, 3},
    {145, 33, 193},   {9, 2049, 193},    {290, 514, 241, 3},  {257, 1536, 113}};

struct Variant {
  const char* name;
  Activation act;
  bool bias, accumulate;
};

}  // namespace acd::test::linear
