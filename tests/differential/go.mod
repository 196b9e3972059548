module skep/differential

go 1.19
