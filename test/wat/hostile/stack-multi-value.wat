;; Copyright The WasmAdmission Authors.
;;
;; Licensed under the Apache License, Version 2.0 (the "License");
;; you may not use this file except in compliance with the License.
;; You may obtain a copy of the License at
;;
;;     http://www.apache.org/licenses/LICENSE-2.0
;;
;; Unless required by applicable law or agreed to in writing, software
;; distributed under the License is distributed on an "AS IS" BASIS,
;; WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
;; See the License for the specific language governing permissions and
;; limitations under the License.

;; Attack: a recursive function with 900 parameters and 900 results.
;; Must happen: the stack overflows or the deadline expires.
(module
  (import "wapc" "__guest_response" (func $response (param i32 i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "{\"accepted\":true}")
  (data (i32.const 256) "{\"valid\":true}")
  (data (i32.const 512) "\"v1\"")

  (func $again (param i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64) (result i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64)
    (local.get 0)
    (local.get 1)
    (local.get 2)
    (local.get 3)
    (local.get 4)
    (local.get 5)
    (local.get 6)
    (local.get 7)
    (local.get 8)
    (local.get 9)
    (local.get 10)
    (local.get 11)
    (local.get 12)
    (local.get 13)
    (local.get 14)
    (local.get 15)
    (local.get 16)
    (local.get 17)
    (local.get 18)
    (local.get 19)
    (local.get 20)
    (local.get 21)
    (local.get 22)
    (local.get 23)
    (local.get 24)
    (local.get 25)
    (local.get 26)
    (local.get 27)
    (local.get 28)
    (local.get 29)
    (local.get 30)
    (local.get 31)
    (local.get 32)
    (local.get 33)
    (local.get 34)
    (local.get 35)
    (local.get 36)
    (local.get 37)
    (local.get 38)
    (local.get 39)
    (local.get 40)
    (local.get 41)
    (local.get 42)
    (local.get 43)
    (local.get 44)
    (local.get 45)
    (local.get 46)
    (local.get 47)
    (local.get 48)
    (local.get 49)
    (local.get 50)
    (local.get 51)
    (local.get 52)
    (local.get 53)
    (local.get 54)
    (local.get 55)
    (local.get 56)
    (local.get 57)
    (local.get 58)
    (local.get 59)
    (local.get 60)
    (local.get 61)
    (local.get 62)
    (local.get 63)
    (local.get 64)
    (local.get 65)
    (local.get 66)
    (local.get 67)
    (local.get 68)
    (local.get 69)
    (local.get 70)
    (local.get 71)
    (local.get 72)
    (local.get 73)
    (local.get 74)
    (local.get 75)
    (local.get 76)
    (local.get 77)
    (local.get 78)
    (local.get 79)
    (local.get 80)
    (local.get 81)
    (local.get 82)
    (local.get 83)
    (local.get 84)
    (local.get 85)
    (local.get 86)
    (local.get 87)
    (local.get 88)
    (local.get 89)
    (local.get 90)
    (local.get 91)
    (local.get 92)
    (local.get 93)
    (local.get 94)
    (local.get 95)
    (local.get 96)
    (local.get 97)
    (local.get 98)
    (local.get 99)
    (local.get 100)
    (local.get 101)
    (local.get 102)
    (local.get 103)
    (local.get 104)
    (local.get 105)
    (local.get 106)
    (local.get 107)
    (local.get 108)
    (local.get 109)
    (local.get 110)
    (local.get 111)
    (local.get 112)
    (local.get 113)
    (local.get 114)
    (local.get 115)
    (local.get 116)
    (local.get 117)
    (local.get 118)
    (local.get 119)
    (local.get 120)
    (local.get 121)
    (local.get 122)
    (local.get 123)
    (local.get 124)
    (local.get 125)
    (local.get 126)
    (local.get 127)
    (local.get 128)
    (local.get 129)
    (local.get 130)
    (local.get 131)
    (local.get 132)
    (local.get 133)
    (local.get 134)
    (local.get 135)
    (local.get 136)
    (local.get 137)
    (local.get 138)
    (local.get 139)
    (local.get 140)
    (local.get 141)
    (local.get 142)
    (local.get 143)
    (local.get 144)
    (local.get 145)
    (local.get 146)
    (local.get 147)
    (local.get 148)
    (local.get 149)
    (local.get 150)
    (local.get 151)
    (local.get 152)
    (local.get 153)
    (local.get 154)
    (local.get 155)
    (local.get 156)
    (local.get 157)
    (local.get 158)
    (local.get 159)
    (local.get 160)
    (local.get 161)
    (local.get 162)
    (local.get 163)
    (local.get 164)
    (local.get 165)
    (local.get 166)
    (local.get 167)
    (local.get 168)
    (local.get 169)
    (local.get 170)
    (local.get 171)
    (local.get 172)
    (local.get 173)
    (local.get 174)
    (local.get 175)
    (local.get 176)
    (local.get 177)
    (local.get 178)
    (local.get 179)
    (local.get 180)
    (local.get 181)
    (local.get 182)
    (local.get 183)
    (local.get 184)
    (local.get 185)
    (local.get 186)
    (local.get 187)
    (local.get 188)
    (local.get 189)
    (local.get 190)
    (local.get 191)
    (local.get 192)
    (local.get 193)
    (local.get 194)
    (local.get 195)
    (local.get 196)
    (local.get 197)
    (local.get 198)
    (local.get 199)
    (local.get 200)
    (local.get 201)
    (local.get 202)
    (local.get 203)
    (local.get 204)
    (local.get 205)
    (local.get 206)
    (local.get 207)
    (local.get 208)
    (local.get 209)
    (local.get 210)
    (local.get 211)
    (local.get 212)
    (local.get 213)
    (local.get 214)
    (local.get 215)
    (local.get 216)
    (local.get 217)
    (local.get 218)
    (local.get 219)
    (local.get 220)
    (local.get 221)
    (local.get 222)
    (local.get 223)
    (local.get 224)
    (local.get 225)
    (local.get 226)
    (local.get 227)
    (local.get 228)
    (local.get 229)
    (local.get 230)
    (local.get 231)
    (local.get 232)
    (local.get 233)
    (local.get 234)
    (local.get 235)
    (local.get 236)
    (local.get 237)
    (local.get 238)
    (local.get 239)
    (local.get 240)
    (local.get 241)
    (local.get 242)
    (local.get 243)
    (local.get 244)
    (local.get 245)
    (local.get 246)
    (local.get 247)
    (local.get 248)
    (local.get 249)
    (local.get 250)
    (local.get 251)
    (local.get 252)
    (local.get 253)
    (local.get 254)
    (local.get 255)
    (local.get 256)
    (local.get 257)
    (local.get 258)
    (local.get 259)
    (local.get 260)
    (local.get 261)
    (local.get 262)
    (local.get 263)
    (local.get 264)
    (local.get 265)
    (local.get 266)
    (local.get 267)
    (local.get 268)
    (local.get 269)
    (local.get 270)
    (local.get 271)
    (local.get 272)
    (local.get 273)
    (local.get 274)
    (local.get 275)
    (local.get 276)
    (local.get 277)
    (local.get 278)
    (local.get 279)
    (local.get 280)
    (local.get 281)
    (local.get 282)
    (local.get 283)
    (local.get 284)
    (local.get 285)
    (local.get 286)
    (local.get 287)
    (local.get 288)
    (local.get 289)
    (local.get 290)
    (local.get 291)
    (local.get 292)
    (local.get 293)
    (local.get 294)
    (local.get 295)
    (local.get 296)
    (local.get 297)
    (local.get 298)
    (local.get 299)
    (local.get 300)
    (local.get 301)
    (local.get 302)
    (local.get 303)
    (local.get 304)
    (local.get 305)
    (local.get 306)
    (local.get 307)
    (local.get 308)
    (local.get 309)
    (local.get 310)
    (local.get 311)
    (local.get 312)
    (local.get 313)
    (local.get 314)
    (local.get 315)
    (local.get 316)
    (local.get 317)
    (local.get 318)
    (local.get 319)
    (local.get 320)
    (local.get 321)
    (local.get 322)
    (local.get 323)
    (local.get 324)
    (local.get 325)
    (local.get 326)
    (local.get 327)
    (local.get 328)
    (local.get 329)
    (local.get 330)
    (local.get 331)
    (local.get 332)
    (local.get 333)
    (local.get 334)
    (local.get 335)
    (local.get 336)
    (local.get 337)
    (local.get 338)
    (local.get 339)
    (local.get 340)
    (local.get 341)
    (local.get 342)
    (local.get 343)
    (local.get 344)
    (local.get 345)
    (local.get 346)
    (local.get 347)
    (local.get 348)
    (local.get 349)
    (local.get 350)
    (local.get 351)
    (local.get 352)
    (local.get 353)
    (local.get 354)
    (local.get 355)
    (local.get 356)
    (local.get 357)
    (local.get 358)
    (local.get 359)
    (local.get 360)
    (local.get 361)
    (local.get 362)
    (local.get 363)
    (local.get 364)
    (local.get 365)
    (local.get 366)
    (local.get 367)
    (local.get 368)
    (local.get 369)
    (local.get 370)
    (local.get 371)
    (local.get 372)
    (local.get 373)
    (local.get 374)
    (local.get 375)
    (local.get 376)
    (local.get 377)
    (local.get 378)
    (local.get 379)
    (local.get 380)
    (local.get 381)
    (local.get 382)
    (local.get 383)
    (local.get 384)
    (local.get 385)
    (local.get 386)
    (local.get 387)
    (local.get 388)
    (local.get 389)
    (local.get 390)
    (local.get 391)
    (local.get 392)
    (local.get 393)
    (local.get 394)
    (local.get 395)
    (local.get 396)
    (local.get 397)
    (local.get 398)
    (local.get 399)
    (local.get 400)
    (local.get 401)
    (local.get 402)
    (local.get 403)
    (local.get 404)
    (local.get 405)
    (local.get 406)
    (local.get 407)
    (local.get 408)
    (local.get 409)
    (local.get 410)
    (local.get 411)
    (local.get 412)
    (local.get 413)
    (local.get 414)
    (local.get 415)
    (local.get 416)
    (local.get 417)
    (local.get 418)
    (local.get 419)
    (local.get 420)
    (local.get 421)
    (local.get 422)
    (local.get 423)
    (local.get 424)
    (local.get 425)
    (local.get 426)
    (local.get 427)
    (local.get 428)
    (local.get 429)
    (local.get 430)
    (local.get 431)
    (local.get 432)
    (local.get 433)
    (local.get 434)
    (local.get 435)
    (local.get 436)
    (local.get 437)
    (local.get 438)
    (local.get 439)
    (local.get 440)
    (local.get 441)
    (local.get 442)
    (local.get 443)
    (local.get 444)
    (local.get 445)
    (local.get 446)
    (local.get 447)
    (local.get 448)
    (local.get 449)
    (local.get 450)
    (local.get 451)
    (local.get 452)
    (local.get 453)
    (local.get 454)
    (local.get 455)
    (local.get 456)
    (local.get 457)
    (local.get 458)
    (local.get 459)
    (local.get 460)
    (local.get 461)
    (local.get 462)
    (local.get 463)
    (local.get 464)
    (local.get 465)
    (local.get 466)
    (local.get 467)
    (local.get 468)
    (local.get 469)
    (local.get 470)
    (local.get 471)
    (local.get 472)
    (local.get 473)
    (local.get 474)
    (local.get 475)
    (local.get 476)
    (local.get 477)
    (local.get 478)
    (local.get 479)
    (local.get 480)
    (local.get 481)
    (local.get 482)
    (local.get 483)
    (local.get 484)
    (local.get 485)
    (local.get 486)
    (local.get 487)
    (local.get 488)
    (local.get 489)
    (local.get 490)
    (local.get 491)
    (local.get 492)
    (local.get 493)
    (local.get 494)
    (local.get 495)
    (local.get 496)
    (local.get 497)
    (local.get 498)
    (local.get 499)
    (local.get 500)
    (local.get 501)
    (local.get 502)
    (local.get 503)
    (local.get 504)
    (local.get 505)
    (local.get 506)
    (local.get 507)
    (local.get 508)
    (local.get 509)
    (local.get 510)
    (local.get 511)
    (local.get 512)
    (local.get 513)
    (local.get 514)
    (local.get 515)
    (local.get 516)
    (local.get 517)
    (local.get 518)
    (local.get 519)
    (local.get 520)
    (local.get 521)
    (local.get 522)
    (local.get 523)
    (local.get 524)
    (local.get 525)
    (local.get 526)
    (local.get 527)
    (local.get 528)
    (local.get 529)
    (local.get 530)
    (local.get 531)
    (local.get 532)
    (local.get 533)
    (local.get 534)
    (local.get 535)
    (local.get 536)
    (local.get 537)
    (local.get 538)
    (local.get 539)
    (local.get 540)
    (local.get 541)
    (local.get 542)
    (local.get 543)
    (local.get 544)
    (local.get 545)
    (local.get 546)
    (local.get 547)
    (local.get 548)
    (local.get 549)
    (local.get 550)
    (local.get 551)
    (local.get 552)
    (local.get 553)
    (local.get 554)
    (local.get 555)
    (local.get 556)
    (local.get 557)
    (local.get 558)
    (local.get 559)
    (local.get 560)
    (local.get 561)
    (local.get 562)
    (local.get 563)
    (local.get 564)
    (local.get 565)
    (local.get 566)
    (local.get 567)
    (local.get 568)
    (local.get 569)
    (local.get 570)
    (local.get 571)
    (local.get 572)
    (local.get 573)
    (local.get 574)
    (local.get 575)
    (local.get 576)
    (local.get 577)
    (local.get 578)
    (local.get 579)
    (local.get 580)
    (local.get 581)
    (local.get 582)
    (local.get 583)
    (local.get 584)
    (local.get 585)
    (local.get 586)
    (local.get 587)
    (local.get 588)
    (local.get 589)
    (local.get 590)
    (local.get 591)
    (local.get 592)
    (local.get 593)
    (local.get 594)
    (local.get 595)
    (local.get 596)
    (local.get 597)
    (local.get 598)
    (local.get 599)
    (local.get 600)
    (local.get 601)
    (local.get 602)
    (local.get 603)
    (local.get 604)
    (local.get 605)
    (local.get 606)
    (local.get 607)
    (local.get 608)
    (local.get 609)
    (local.get 610)
    (local.get 611)
    (local.get 612)
    (local.get 613)
    (local.get 614)
    (local.get 615)
    (local.get 616)
    (local.get 617)
    (local.get 618)
    (local.get 619)
    (local.get 620)
    (local.get 621)
    (local.get 622)
    (local.get 623)
    (local.get 624)
    (local.get 625)
    (local.get 626)
    (local.get 627)
    (local.get 628)
    (local.get 629)
    (local.get 630)
    (local.get 631)
    (local.get 632)
    (local.get 633)
    (local.get 634)
    (local.get 635)
    (local.get 636)
    (local.get 637)
    (local.get 638)
    (local.get 639)
    (local.get 640)
    (local.get 641)
    (local.get 642)
    (local.get 643)
    (local.get 644)
    (local.get 645)
    (local.get 646)
    (local.get 647)
    (local.get 648)
    (local.get 649)
    (local.get 650)
    (local.get 651)
    (local.get 652)
    (local.get 653)
    (local.get 654)
    (local.get 655)
    (local.get 656)
    (local.get 657)
    (local.get 658)
    (local.get 659)
    (local.get 660)
    (local.get 661)
    (local.get 662)
    (local.get 663)
    (local.get 664)
    (local.get 665)
    (local.get 666)
    (local.get 667)
    (local.get 668)
    (local.get 669)
    (local.get 670)
    (local.get 671)
    (local.get 672)
    (local.get 673)
    (local.get 674)
    (local.get 675)
    (local.get 676)
    (local.get 677)
    (local.get 678)
    (local.get 679)
    (local.get 680)
    (local.get 681)
    (local.get 682)
    (local.get 683)
    (local.get 684)
    (local.get 685)
    (local.get 686)
    (local.get 687)
    (local.get 688)
    (local.get 689)
    (local.get 690)
    (local.get 691)
    (local.get 692)
    (local.get 693)
    (local.get 694)
    (local.get 695)
    (local.get 696)
    (local.get 697)
    (local.get 698)
    (local.get 699)
    (local.get 700)
    (local.get 701)
    (local.get 702)
    (local.get 703)
    (local.get 704)
    (local.get 705)
    (local.get 706)
    (local.get 707)
    (local.get 708)
    (local.get 709)
    (local.get 710)
    (local.get 711)
    (local.get 712)
    (local.get 713)
    (local.get 714)
    (local.get 715)
    (local.get 716)
    (local.get 717)
    (local.get 718)
    (local.get 719)
    (local.get 720)
    (local.get 721)
    (local.get 722)
    (local.get 723)
    (local.get 724)
    (local.get 725)
    (local.get 726)
    (local.get 727)
    (local.get 728)
    (local.get 729)
    (local.get 730)
    (local.get 731)
    (local.get 732)
    (local.get 733)
    (local.get 734)
    (local.get 735)
    (local.get 736)
    (local.get 737)
    (local.get 738)
    (local.get 739)
    (local.get 740)
    (local.get 741)
    (local.get 742)
    (local.get 743)
    (local.get 744)
    (local.get 745)
    (local.get 746)
    (local.get 747)
    (local.get 748)
    (local.get 749)
    (local.get 750)
    (local.get 751)
    (local.get 752)
    (local.get 753)
    (local.get 754)
    (local.get 755)
    (local.get 756)
    (local.get 757)
    (local.get 758)
    (local.get 759)
    (local.get 760)
    (local.get 761)
    (local.get 762)
    (local.get 763)
    (local.get 764)
    (local.get 765)
    (local.get 766)
    (local.get 767)
    (local.get 768)
    (local.get 769)
    (local.get 770)
    (local.get 771)
    (local.get 772)
    (local.get 773)
    (local.get 774)
    (local.get 775)
    (local.get 776)
    (local.get 777)
    (local.get 778)
    (local.get 779)
    (local.get 780)
    (local.get 781)
    (local.get 782)
    (local.get 783)
    (local.get 784)
    (local.get 785)
    (local.get 786)
    (local.get 787)
    (local.get 788)
    (local.get 789)
    (local.get 790)
    (local.get 791)
    (local.get 792)
    (local.get 793)
    (local.get 794)
    (local.get 795)
    (local.get 796)
    (local.get 797)
    (local.get 798)
    (local.get 799)
    (local.get 800)
    (local.get 801)
    (local.get 802)
    (local.get 803)
    (local.get 804)
    (local.get 805)
    (local.get 806)
    (local.get 807)
    (local.get 808)
    (local.get 809)
    (local.get 810)
    (local.get 811)
    (local.get 812)
    (local.get 813)
    (local.get 814)
    (local.get 815)
    (local.get 816)
    (local.get 817)
    (local.get 818)
    (local.get 819)
    (local.get 820)
    (local.get 821)
    (local.get 822)
    (local.get 823)
    (local.get 824)
    (local.get 825)
    (local.get 826)
    (local.get 827)
    (local.get 828)
    (local.get 829)
    (local.get 830)
    (local.get 831)
    (local.get 832)
    (local.get 833)
    (local.get 834)
    (local.get 835)
    (local.get 836)
    (local.get 837)
    (local.get 838)
    (local.get 839)
    (local.get 840)
    (local.get 841)
    (local.get 842)
    (local.get 843)
    (local.get 844)
    (local.get 845)
    (local.get 846)
    (local.get 847)
    (local.get 848)
    (local.get 849)
    (local.get 850)
    (local.get 851)
    (local.get 852)
    (local.get 853)
    (local.get 854)
    (local.get 855)
    (local.get 856)
    (local.get 857)
    (local.get 858)
    (local.get 859)
    (local.get 860)
    (local.get 861)
    (local.get 862)
    (local.get 863)
    (local.get 864)
    (local.get 865)
    (local.get 866)
    (local.get 867)
    (local.get 868)
    (local.get 869)
    (local.get 870)
    (local.get 871)
    (local.get 872)
    (local.get 873)
    (local.get 874)
    (local.get 875)
    (local.get 876)
    (local.get 877)
    (local.get 878)
    (local.get 879)
    (local.get 880)
    (local.get 881)
    (local.get 882)
    (local.get 883)
    (local.get 884)
    (local.get 885)
    (local.get 886)
    (local.get 887)
    (local.get 888)
    (local.get 889)
    (local.get 890)
    (local.get 891)
    (local.get 892)
    (local.get 893)
    (local.get 894)
    (local.get 895)
    (local.get 896)
    (local.get 897)
    (local.get 898)
    (local.get 899)
    (call $again))

  ;; An operation is recognized by the length of its name: "validate" has 8
  ;; letters, "validate_settings" 17, "protocol_version" 16. The guest does not
  ;; attack on short requests.
  (func (export "__guest_call") (param $op_len i32) (param $payload_len i32) (result i32)
    (if (i32.eq (local.get $op_len) (i32.const 17))
      (then (call $response (i32.const 256) (i32.const 14)) (return (i32.const 1))))
    (if (i32.eq (local.get $op_len) (i32.const 16))
      (then (call $response (i32.const 512) (i32.const 4)) (return (i32.const 1))))
    (if (i32.ge_u (local.get $payload_len) (i32.const 100))
      (then (call $attack)))
    (call $response (i32.const 0) (i32.const 17))
    (i32.const 1))

  (func $attack
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (i64.const 1)
    (call $again)
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop
    drop)
)
