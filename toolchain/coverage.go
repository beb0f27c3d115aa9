package main

import (
	"math"
	"slices"

	"github.com/open-policy-agent/opa/v1/cover"
)

type fileCoverage struct {
	Percent    float64 `json:"percent"`
	NotCovered []int   `json:"notCovered"`
}

// coverage is what the tests covered of the policies; the tests themselves do not count.
func coverage(report cover.Report) any {
	files := map[string]fileCoverage{}
	covered, all := 0, 0
	for file, r := range report.Files {
		if isTest(file) {
			continue
		}
		rows := []int{}
		for _, missed := range r.NotCovered {
			for row := missed.Start.Row; row <= missed.End.Row; row++ {
				rows = append(rows, row)
			}
		}
		slices.Sort(rows)
		rows = slices.Compact(rows)
		covered += r.CoveredLines
		all += r.CoveredLines + r.NotCoveredLines
		files[file] = fileCoverage{percent(r.CoveredLines, r.CoveredLines+r.NotCoveredLines), rows}
	}
	return map[string]any{"percent": percent(covered, all), "files": files}
}

func percent(part, whole int) float64 {
	if whole == 0 {
		return 100
	}
	return math.Round(1000*float64(part)/float64(whole)) / 10
}
