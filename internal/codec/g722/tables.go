package g722

// The tables of G.722 §6.2. None is ever written.

// decision holds the decision levels of the six-bit quantiser (Table 14, LL6), times 2^12. The first is never
// looked at; past the last two the codes repeat.
var decision = [32]int16{
	-1, 35, 72, 110, 150, 190, 233, 276, 323, 370,
	422, 473, 530, 587, 650, 714, 786, 858, 940, 1023,
	1121, 1219, 1339, 1458, 1612, 1765, 1980, 2195, 2557, 2919,
	32767, 32767,
}

// codes are the six-bit codes of the intervals between the levels, for positive and for negative differences
// (Table 14).
var codes = [2][32]byte{
	{61, 60, 59, 58, 57, 56, 55, 54, 53, 52, 51, 50, 49, 48, 47, 46,
		45, 44, 43, 42, 41, 40, 39, 38, 37, 36, 35, 34, 33, 32, 32, 32},
	{63, 62, 31, 30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18,
		17, 16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 4, 4},
}

// inverse6 holds the output of the six-bit inverse quantiser in the order of the codes, times 2^15.
var inverse6 = [64]int16{
	-136, -136, -136, -136, -24808, -21904, -19008, -16704,
	-14984, -13512, -12280, -11192, -10232, -9360, -8576, -7856,
	-7192, -6576, -6000, -5456, -4944, -4464, -4008, -3576,
	-3168, -2776, -2400, -2032, -1688, -1360, -1040, -728,
	24808, 21904, 19008, 16704, 14984, 13512, 12280, 11192,
	10232, 9360, 8576, 7856, 7192, 6576, 6000, 5456,
	4944, 4464, 4008, 3576, 3168, 2776, 2400, 2032,
	1688, 1360, 1040, 728, 432, 136, -432, -136,
}

// inverse4 holds the same for the four upper bits of the code, from which both ends adapt.
var inverse4 = [16]int16{
	0, -20456, -12896, -8968, -6288, -4240, -2584, -1200,
	20456, 12896, 8968, 6288, 4240, 2584, 1200, 0,
}

// inverse2 holds the same for the two bits of the upper band.
var inverse2 = [4]int16{
	-7408, -1616, 7408, 1616,
}

// step4 holds how the logarithm of the scale factor of the lower band moves by the four upper bits of the code.
var step4 = [16]int16{
	-60, 3042, 1198, 538, 334, 172, 58, -30,
	3042, 1198, 538, 334, 172, 58, -30, -60,
}

// step2 holds the same for the upper band.
var step2 = [4]int16{
	798, -214, 798, -214,
}

// mantissas holds powers of two between 2048 and 4096, a thirty-second of an octave apart (ILB).
var mantissas = [32]int16{
	2048, 2093, 2139, 2186, 2233, 2282, 2332, 2383,
	2435, 2489, 2543, 2599, 2656, 2714, 2774, 2834,
	2896, 2960, 3025, 3091, 3158, 3228, 3298, 3371,
	3444, 3520, 3597, 3676, 3756, 3838, 3922, 4008,
}
