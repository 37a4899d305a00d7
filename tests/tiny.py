"""Tiny random transformers with their tokenizers, saved as folders: models that load in no time."""

from pathlib import Path

import torch
import transformers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

ARCHITECTURES = ("bert", "mpnet", "xlm-roberta", "modernbert", "qwen2", "qwen3")
LETTERS = [chr(c) for c in range(33, 127) if not chr(c).isupper()]
WORDS = ["cook", "chef", "rice", "sauce", "nurse", "python", "software", "engineer", "team", "and"]
SIZES = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64)


def _wordpiece(pad: str, unk: str, cls: str, sep: str):
    """Whole words where known, else letter by letter; BERT's layout `cls text sep`."""
    vocab = [pad, unk, cls, sep, "[MASK]", *LETTERS, *[f"##{c}" for c in LETTERS], *WORDS]
    ids = {t: i for i, t in enumerate(dict.fromkeys(vocab))}
    tok = Tokenizer(models.WordPiece(ids, unk_token=unk, max_input_chars_per_word=100))
    tok.normalizer = normalizers.BertNormalizer(lowercase=True)
    tok.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tok.post_processor = processors.TemplateProcessing(
        single=f"{cls} $A {sep}", special_tokens=[(cls, ids[cls]), (sep, ids[sep])]
    )
    return tok, ids


def _pieces():
    """Sentence pieces as XLM-R has them: a mark for the space, words, and letters."""
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    vocab = [(t, 0.0) for t in special] + [("▁", -5.0)] + [(c, -6.0) for c in LETTERS]
    vocab += [(f"▁{w}", -3.0) for w in WORDS]
    tok = Tokenizer(models.Unigram(vocab, unk_id=3))
    tok.normalizer = normalizers.Lowercase()
    tok.pre_tokenizer = pre_tokenizers.Metaspace()
    tok.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return tok, {t: i for i, (t, _) in enumerate(vocab)}


def _bytes():
    """Bytes as Qwen has them, without merges; an end mark after the text."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {t: i for i, t in enumerate(["<|endoftext|>", *letters])}
    tok = Tokenizer(models.BPE(vocab, []))
    tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tok.post_processor = processors.TemplateProcessing(
        single="$A <|endoftext|>", special_tokens=[("<|endoftext|>", 0)]
    )
    return tok, vocab


def save_backbone(folder: Path, kind: str = "bert", **sizes: int) -> str:
    """Write a random transformer of a kind to a folder, with the same weights each time."""
    marks = {
        "bert": ("[PAD]", "[UNK]", "[CLS]", "[SEP]"),
        "mpnet": ("<pad>", "[UNK]", "<s>", "</s>"),
        "xlm-roberta": ("<pad>", "<unk>", "<s>", "</s>"),
        "modernbert": ("[PAD]", "[UNK]", "[CLS]", "[SEP]"),
        "qwen2": ("<|endoftext|>", None, None, None),
        "qwen3": ("<|endoftext|>", None, None, None),
    }[kind]
    tokenizer = {"xlm-roberta": _pieces, "qwen2": _bytes, "qwen3": _bytes}
    tok, ids = tokenizer.get(kind, lambda: _wordpiece(*marks))()
    sizes = {**SIZES, **sizes, "vocab_size": len(ids), "pad_token_id": ids[marks[0]]}
    sizes.setdefault("max_position_embeddings", 256)
    if kind == "modernbert":
        sizes |= dict(
            cls_token_id=ids[marks[2]],
            sep_token_id=ids[marks[3]],
            bos_token_id=ids[marks[2]],
            eos_token_id=ids[marks[3]],
        )
    if kind.startswith("qwen"):
        sizes |= dict(num_key_value_heads=2, head_dim=8, eos_token_id=0, bos_token_id=None)
    config, model = {
        "bert": (transformers.BertConfig, transformers.BertModel),
        "mpnet": (transformers.MPNetConfig, transformers.MPNetModel),
        "xlm-roberta": (transformers.XLMRobertaConfig, transformers.XLMRobertaModel),
        "modernbert": (transformers.ModernBertConfig, transformers.ModernBertModel),
        "qwen2": (transformers.Qwen2Config, transformers.Qwen2Model),
        "qwen3": (transformers.Qwen3Config, transformers.Qwen3Model),
    }[kind]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model(config(**sizes)).save_pretrained(folder, safe_serialization=True)
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tok,
        padding_side="left" if kind.startswith("qwen") else "right",
        pad_token=marks[0],
        unk_token=marks[1],
        cls_token=marks[2],
        sep_token=marks[3],
    ).save_pretrained(folder)
    return str(folder)


def save_model(base):
    "An exported model on a tiny encoder, below a folder"
    from resume_contrastive.encoder import DualEncoder, EncoderConfig
    from resume_contrastive.export import export_model

    config = EncoderConfig(backbone=save_backbone(base / "backbone"), window=64, dim=8)
    torch.manual_seed(0)
    return export_model(DualEncoder(32, config).eval(), config.embedder(), base / "model")
