module rtd/bench

go 1.19
