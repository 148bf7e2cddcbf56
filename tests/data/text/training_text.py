"""What the tiny tokenizers beside this script are trained on."""

TEXT = """The weights of a model are numbers, and most of them are small. When a number is stored in three bits there are
only eight places where it can go, and the nearest of them is seldom quite right. What a document pays for this depends
on the document: a recipe is not a proof, and a list of prices isn't a poem. We'll measure it, token by token.
A residual is what is left after everything else has been taken away. It grows from layer to layer, like a bill that
nobody reads. They've said that large residuals are safe; you'd want to see the figures before you're sure.
In 2024 it cost 17.50, in 2025 it cost 18.25, and by 2031 it might be 1,000 or nothing.
    for (int i = 0; i < rows; ++i) {
        sum += scale[i] * (code[i] - zero[i]);
    }

Das Gewicht eines Modells ist eine Zahl. Die Straße ist lang, der Zug fährt später, und niemand weiß, warum.
Le modèle a été réduit à trois bits, et la différence est à peine visible. Où est passée l'erreur?
La pregunta más difícil es también la más corta: ¿por qué?
Вес модели это число. Ошибка растёт от слоя к слою.
模型的权重是数字。误差一层一层地增长。
モデルの重みは数である。
모델의 가중치는 숫자이다.
وزن النموذج رقم صغير.
मॉडल का भार एक संख्या है।
Done!!! Really??? (yes) ... -- == >= <= != 🙂 👍 🚀

\t tabs \t and   wide    gaps\r\n\r\nand line ends\n\n\nof every kind
"""
LINES = [TEXT[i : i + 400] for i in range(0, len(TEXT), 400)]
