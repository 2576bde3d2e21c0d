"""A random qwen3moe of 97 thousand numbers with a tokenizer of bytes, for one training on a processor: tiny.py FOLDER."""
import torch, sys
from transformers import Qwen3MoeConfig, Qwen3MoeForCausalLM, PreTrainedTokenizerFast
from tokenizers import Tokenizer, models, pre_tokenizers, decoders, trainers
out=sys.argv[1]
t=Tokenizer(models.BPE()); t.pre_tokenizer=pre_tokenizers.ByteLevel(add_prefix_space=False); t.decoder=decoders.ByteLevel()
t.train_from_iterator(["the quick brown fox"],trainers.BpeTrainer(vocab_size=300,special_tokens=["<|endoftext|>","<|im_start|>","<|im_end|>"],initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
tok=PreTrainedTokenizerFast(tokenizer_object=t,eos_token="<|im_end|>",pad_token="<|endoftext|>")
tok.chat_template="{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' %}{% generation %}{{ m.content }}<|im_end|>{% endgeneration %}{% else %}{{ m.content }}<|im_end|>{% endif %}\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
tok.save_pretrained(out)
torch.manual_seed(1)
c=Qwen3MoeConfig(vocab_size=len(tok)+(-len(tok))%32,hidden_size=64,intermediate_size=128,num_hidden_layers=2,num_attention_heads=4,num_key_value_heads=2,head_dim=16,moe_intermediate_size=32,num_experts=8,num_experts_per_tok=2,decoder_sparse_step=1,norm_topk_prob=True,tie_word_embeddings=False,max_position_embeddings=512,bos_token_id=None,eos_token_id=tok.eos_token_id)
m=Qwen3MoeForCausalLM(c); m.save_pretrained(out)
for n,p in m.named_parameters(): print(n,tuple(p.shape)) if "layers.0" in n else None
