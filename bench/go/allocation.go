package main

import (
	"runtime"
	"time"
)

// How many of the objects are alive: the last ones.
const kept = 8192

type node struct {
	left, right *node
	number      [2]uint64
}

type block struct {
	words [128]uint64
}

// alloc32 makes objects of 32 bytes with two pointers, of which the last 8192 are alive; the collector's part is in it.
func alloc32(count uint64) sample {
	ring := make([]*node, kept)
	start := time.Now()
	for i := uint64(0); i < count; i++ {
		fresh := new(node)
		fresh.number[0] = i
		ring[i%kept] = fresh
	}
	elapsed := time.Since(start)
	require(ring[(count-1)%kept].number[0] == count-1, "the last object is another one")
	return perOperation(count, elapsed)
}

// alloc1k does the same with a block of 1 KiB without pointers.
func alloc1k(count uint64) sample {
	ring := make([]*block, kept)
	start := time.Now()
	for i := uint64(0); i < count; i++ {
		fresh := new(block)
		fresh.words[0] = i
		fresh.words[127] = i
		ring[i%kept] = fresh
	}
	elapsed := time.Since(start)
	require(ring[(count-1)%kept].words[127] == count-1, "the last object is another one")
	return perOperation(count, elapsed)
}

type tree struct {
	left, right *tree
}

const (
	liveLevels  = 21
	shortLevels = 17
)

func makeTree(levels int) *tree {
	top := new(tree)
	if levels > 1 {
		top.left = makeTree(levels - 1)
		top.right = makeTree(levels - 1)
	}
	return top
}

func countTree(top *tree) uint64 {
	if top == nil {
		return 0
	}
	return 1 + countTree(top.left) + countTree(top.right)
}

// binaryTrees builds and drops a tree of 2^17 nodes, while one of 2^21 is alive.
func binaryTrees(count uint64) sample {
	live := makeTree(liveLevels)
	start := time.Now()
	for i := uint64(0); i < count; i++ {
		require(countTree(makeTree(shortLevels)) == 1<<shortLevels-1, "a tree has lost nodes")
	}
	elapsed := time.Since(start)
	require(countTree(live) == 1<<liveLevels-1, "the live tree has lost nodes")
	found := perOperation(count, elapsed)
	found.value *= 1e-6
	return found
}

// fullCollection asks for collections, with a tree of 2^21 nodes alive.
func fullCollection(count uint64) sample {
	live := makeTree(liveLevels)
	runtime.GC()
	start := time.Now()
	for i := uint64(0); i < count; i++ {
		runtime.GC()
	}
	elapsed := time.Since(start)
	require(countTree(live) == 1<<liveLevels-1, "the live tree has lost nodes")
	found := perOperation(count, elapsed)
	found.value *= 1e-6
	return found
}
